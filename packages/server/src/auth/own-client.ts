import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";

const TOKEN_BYTES = 32;
/** Carries the server's own credentials, in addition to those of the user that it acts for. */
const HEADER = "Coder-Own-Client";

/**
 * The credentials of the server as a client of its own coordinator. They exist in this process only and open only control
 * connections. What may be reached over those is decided before each dial.
 */
export class OwnClient {
  readonly token = randomBytes(TOKEN_BYTES).toString("base64url");
  readonly #digest = digest(this.token);

  /** Headers that mark a request that this server makes with a user's credentials. */
  get marks(): Readonly<Record<string, string>> {
    return { [HEADER]: this.token };
  }

  /** Whether the server sent this request in its own name. */
  isSender(request: IncomingMessage): boolean {
    return this.#isToken(request.headers[SESSION_TOKEN_HEADER.toLowerCase()]);
  }

  /** Whether the server sent this request for a user whose right it has checked. Such a user's client is a browser. */
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
