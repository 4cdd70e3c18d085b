import type { IncomingMessage } from "node:http";
import { csrfProof } from "../auth/csrf.ts";
import { hostname } from "../auth/hosts.ts";
import { loginCookieNames } from "../auth/login-cookie.ts";
import type { IssuedKey } from "../auth/sessions.ts";
import { isLoopback } from "../base/listen-address.ts";
import type { Logger } from "../base/log.ts";

export interface LoginCookiesOptions {
  readonly csrfKey: Uint8Array;
  readonly sessionDurationMs: number;
  /** Whether browsers reach the deployment over https. */
  readonly isSecure: () => boolean;
  readonly log: Logger;
}

/** Set-Cookie lines of a login: the token, which scripts cannot read, and the CSRF proof, which the server's own pages can. */
export class LoginCookies {
  readonly #options: LoginCookiesOptions;

  constructor(options: LoginCookiesOptions) {
    this.#options = options;
  }

  of(key: IssuedKey, { headers }: Pick<IncomingMessage, "headers">): string[] {
    const host = hostname(headers.host)?.replace(/^\[|\]$/g, "");
    if (host !== undefined && isLoopback(host) && (headers.origin ?? headers["sec-fetch-mode"]) !== undefined) {
      this.#options.log.warn(
        { code: "ECOOK01", host },
        "a browser logged in at a name that it shares with whatever listens on this machine: programs that are forwarded there " +
          "receive its session cookie; coder.localhost leads here as well and has cookies of its own",
      );
    }
    const { sessionDurationMs, csrfKey } = this.#options;
    const maxAge = Math.max(1, Math.floor(sessionDurationMs / 1000));
    return this.#lines(key.token, csrfProof(csrfKey, key.row.id), maxAge);
  }

  /** Set-Cookie lines that remove both. */
  cleared(): string[] {
    return this.#lines("", "", 0);
  }

  #lines(token: string, proof: string, maxAge: number): string[] {
    const secure = this.#options.isSecure();
    const { session, csrf } = loginCookieNames(secure);
    const end = secure ? "; Secure" : "";
    // Lax, so that links from other sites open the pages logged in; Strict suffices for the proof, which only the pages read.
    return [
      `${session}=${token}; HttpOnly; Path=/; Max-Age=${maxAge}; SameSite=Lax${end}`,
      `${csrf}=${proof}; Path=/; Max-Age=${maxAge}; SameSite=Strict${end}`,
    ];
  }
}
