/**
 * The cookie of a login. On https a browser's login is in a `__Host-` cookie, and the plain name is not accepted from browsers,
 * because a page of any sibling domain can set a cookie of that name for this host. Other clients send the plain name, as Coder's
 * do.
 */
import type { IncomingMessage } from "node:http";
import {
  CSRF_COOKIE,
  SECURE_CSRF_COOKIE,
  SECURE_SESSION_COOKIE,
  SESSION_TOKEN_COOKIE,
} from "coder-protocol/rest/common";
import { cookieValue } from "./cookies.ts";

/** @param secure Whether browsers reach the deployment over https. */
export function loginCookieNames(secure: boolean): { readonly session: string; readonly csrf: string } {
  return secure
    ? { session: SECURE_SESSION_COOKIE, csrf: SECURE_CSRF_COOKIE }
    : { session: SESSION_TOKEN_COOKIE, csrf: CSRF_COOKIE };
}

/** The token in the cookie that is accepted on this request. */
export function loginCookie(request: Pick<IncomingMessage, "headers">, secure: boolean): string | undefined {
  const { cookie } = request.headers;
  if (!secure) return nonEmpty(cookieValue(cookie, SESSION_TOKEN_COOKIE));
  const prefixed = nonEmpty(cookieValue(cookie, SECURE_SESSION_COOKIE));
  if (prefixed !== undefined || isBrowser(request)) return prefixed;
  return nonEmpty(cookieValue(cookie, SESSION_TOKEN_COOKIE));
}

/** Browsers send Fetch Metadata to https origins and Origin with each upgrade. */
function isBrowser({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers["sec-fetch-mode"] !== undefined || (headers.upgrade !== undefined && headers.origin !== undefined);
}

function nonEmpty(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
