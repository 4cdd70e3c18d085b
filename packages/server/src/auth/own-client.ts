import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";

const TOKEN_BYTES = 32;
/** Carries the credentials beside those of the user that the server acts for. */
const HEADER = "Coder-Own-Client";

/**
 * The credentials of the server as a client of its own coordinator. They exist in this process only and end with it, and open
 * nothing but control connections. What may be reached over them is decided before anything is dialled.
 */
export class OwnClient {
  readonly token = randomBytes(TOKEN_BYTES).toString("base64url");
  readonly #digest = digest(this.token);

  /** Headers that mark a request of this server which is made with the credentials of a user. */
  get marks(): Readonly<Record<string, string>> {
    return { [HEADER]: this.token };
  }

  /** Whether the server sent this in its own name. */
  isSender(request: IncomingMessage): boolean {
    return this.#isToken(request.headers[SESSION_TOKEN_HEADER.toLowerCase()]);
  }

  /** Whether the server sent this for a user whose right it has checked: the user's client is a browser. */
  isMarked(request: IncomingMessage): boolean {
    return this.#isToken(request.headers[HEADER.toLowerCase()]);
  }

  #isToken(given: string | string[] | undefined): boolean {
    return typeof given === "string" && timingSafeEqual(digest(given), this.#digest);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
