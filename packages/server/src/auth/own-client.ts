import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";

const TOKEN_BYTES = 32;

/**
 * The credentials of the server as a client of its own coordinator. They exist in this process only and end with it, and open
 * nothing but control connections. What may be reached over them is decided before anything is dialled.
 */
export class OwnClient {
  readonly token = randomBytes(TOKEN_BYTES).toString("base64url");
  readonly #digest = digest(this.token);

  isSender(request: IncomingMessage): boolean {
    const given = request.headers[SESSION_TOKEN_HEADER.toLowerCase()];
    return typeof given === "string" && timingSafeEqual(digest(given), this.#digest);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
