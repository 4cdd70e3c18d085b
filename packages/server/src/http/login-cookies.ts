import { CSRF_COOKIE, SESSION_TOKEN_COOKIE } from "coder-protocol/rest/common";
import { csrfProof } from "../auth/csrf.ts";
import type { IssuedKey } from "../auth/sessions.ts";
import type { OwnAddresses } from "../base/own-addresses.ts";

export interface LoginCookiesOptions {
  readonly csrfKey: Uint8Array;
  readonly sessionDurationMs: number;
  /** `Secure` even when the access URL is plain http: a proxy in front of the server may speak TLS. */
  readonly alwaysSecure: boolean;
  readonly addresses: Pick<OwnAddresses, "accessUrl">;
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
    const attributes = `Path=/; Max-Age=${maxAge}; SameSite=Lax${this.#secure()}`;
    return [
      `${SESSION_TOKEN_COOKIE}=${key.token}; HttpOnly; ${attributes}`,
      `${CSRF_COOKIE}=${csrfProof(csrfKey, key.row.id)}; ${attributes}`,
    ];
  }

  /** Removes both. */
  cleared(): string[] {
    const attributes = `Path=/; Max-Age=0; SameSite=Lax${this.#secure()}`;
    return [`${SESSION_TOKEN_COOKIE}=; HttpOnly; ${attributes}`, `${CSRF_COOKIE}=; ${attributes}`];
  }

  #secure(): string {
    const { alwaysSecure, addresses } = this.#options;
    return alwaysSecure || addresses.accessUrl().protocol === "https:" ? "; Secure" : "";
  }
}
