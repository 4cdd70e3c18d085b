import { csrfProof } from "../auth/csrf.ts";
import { loginCookieNames } from "../auth/login-cookie.ts";
import type { IssuedKey } from "../auth/sessions.ts";

export interface LoginCookiesOptions {
  readonly csrfKey: Uint8Array;
  readonly sessionDurationMs: number;
  /** Whether browsers reach the deployment over https. */
  readonly isSecure: () => boolean;
}

/** Set-Cookie lines of a login: the token, unreadable to scripts, and the CSRF proof, readable to the server's own pages. */
export class LoginCookies {
  readonly #options: LoginCookiesOptions;

  constructor(options: LoginCookiesOptions) {
    this.#options = options;
  }

  of(key: IssuedKey): string[] {
    const { sessionDurationMs, csrfKey } = this.#options;
    const maxAge = Math.max(1, Math.floor(sessionDurationMs / 1000));
    return this.#lines(key.token, csrfProof(csrfKey, key.row.id), maxAge);
  }

  /** Removes both. */
  cleared(): string[] {
    return this.#lines("", "", 0);
  }

  #lines(token: string, proof: string, maxAge: number): string[] {
    const secure = this.#options.isSecure();
    const { session, csrf } = loginCookieNames(secure);
    const end = secure ? "; Secure" : "";
    // Links from elsewhere open the pages logged in; the proof is read by the pages alone.
    return [
      `${session}=${token}; HttpOnly; Path=/; Max-Age=${maxAge}; SameSite=Lax${end}`,
      `${csrf}=${proof}; Path=/; Max-Age=${maxAge}; SameSite=Strict${end}`,
    ];
  }
}
