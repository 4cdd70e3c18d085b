/**
 * Who may use the local page: a browser that brought the one-time secret, at the one host name, from the page's own origin.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { withoutBlanks } from "coder-server/base/blanks";

const SECRET_BYTES = 32;

/** What {@link Entrance.refusal} found, with the status of the answer. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 421;
  readonly text: string;
}

const OTHER_HOST: Refusal = { status: 421, text: "This host name is not served." };
const MALFORMED: Refusal = { status: 400, text: "The request is malformed." };
const FOREIGN: Refusal = { status: 403, text: "Only the page of this terminal may send this request." };

export class Entrance {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly origin: string;
  readonly #name: string;
  readonly #secret = randomBytes(SECRET_BYTES).toString("base64url");
  readonly #session = randomBytes(SECRET_BYTES).toString("base64url");
  #used = false;

  constructor(port: number) {
    this.host = `127.0.0.1:${port}`;
    this.origin = `http://${this.host}`;
    // Cookies know no port, so the terminals of one machine need different names.
    this.#name = `coder_local_${port}`;
  }

  /** The address to open. Browsers send a fragment to no server, so the secret is in no log and no Referer header. */
  get address(): string {
    return `${this.origin}/#${this.#secret}`;
  }

  /** @returns the Set-Cookie header for the browser that brings the secret first; undefined for any other. */
  exchange(secret: string): string | undefined {
    if (this.#used || !equal(secret, this.#secret)) return undefined;
    this.#used = true;
    return `${this.#name}=${this.#session}; HttpOnly; SameSite=Strict; Path=/`;
  }

  /** Whether the request has the cookie, exactly once. */
  knows({ headers }: Pick<IncomingMessage, "headers">): boolean {
    const values = (headers.cookie ?? "").split(";").flatMap((pair) => {
      const at = pair.indexOf("=");
      return withoutBlanks(pair.slice(0, at)) === this.#name ? [pair.slice(at + 1)] : [];
    });
    return values.length === 1 && equal(values[0]!, this.#session);
  }

  /**
   * Why the request is refused, whatever its cookie: it was sent to another host name (DNS rebinding), or by another page.
   * Programs that are no browsers send neither Origin nor Fetch-Metadata; they pass here and need the cookie.
   * @param acts The request changes something or opens a socket, for which browsers always send an Origin.
   */
  refusal(request: Pick<IncomingMessage, "headers" | "headersDistinct" | "url">, acts: boolean): Refusal | undefined {
    const { headers, headersDistinct, url = "" } = request;
    if (headersDistinct["host"]?.length !== 1 || headers.host !== this.host) return OTHER_HOST;
    if (!url.startsWith("/")) return MALFORMED;
    const { origin } = headers;
    if (origin === undefined ? acts : origin !== this.origin) return FOREIGN;
    return this.#isForeignFetch(headers) ? FOREIGN : undefined;
  }

  /** A link elsewhere may lead here, without the cookie, which is SameSite=Strict; nothing else of another page may. */
  #isForeignFetch({ "sec-fetch-site": site, "sec-fetch-dest": destination }: IncomingMessage["headers"]): boolean {
    if (site === undefined || site === "same-origin" || site === "none") return false;
    return destination !== "document";
  }
}

function equal(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
