/** The answers by which a browser gets a session at an app host, both the server's and a workspace proxy's. */
import { AUTH_REDIRECT_PATH, MAX_SIGN_IN_TARGET } from "../base/sign-in-path.ts";
import { appCookies } from "./names.ts";
import type { AppAnswer } from "./pages.ts";
import { newNonce, stateOf } from "./tickets.ts";

const STATE_SECONDS = 300;
/** Longest request target of an app. */
export const MAX_TARGET = 32 * 1024;
/** The ticket is appended to the address on the way back. */
const TICKET_ROOM = 512;
/** Longest query of the login page. */
const MAX_LOGIN_QUERY = 4_096;
/** Characters that stand for themselves in the value of a query parameter (RFC 3986 §3.4), which keeps long addresses short. */
const ESCAPED = /[^A-Za-z0-9\-._~!$'()*,;:@/?=]/g;

/**
 * Redirects a navigation to the sign-in at the deployment.
 * @param origin The origin of the app's host. @param target The request target as received.
 */
export function beginSignIn(deploymentUrl: URL, origin: string, target: string): AppAnswer {
  const nonce = newNonce();
  const address = `${origin}${target}`.replace(ESCAPED, encodeURIComponent);
  const path = `${AUTH_REDIRECT_PATH}?redirect_uri=${address}&state=${stateOf(nonce)}`;
  if (target.length > MAX_TARGET - TICKET_ROOM || path.length > MAX_SIGN_IN_TARGET) return tooLong(origin);
  return seeOther(new URL(path, deploymentUrl).href, [cookie("state", nonce, STATE_SECONDS, origin)]);
}

/**
 * The address of the login page, which leads back to a request target of the deployment. A long target is in the fragment, which
 * browsers do not send: neither this server nor a balancer in front of it takes requests for addresses of any length.
 */
export function loginLocation(target: string): string {
  const redirect = `redirect=${encodeURIComponent(target)}`;
  return `/login${redirect.length > MAX_LOGIN_QUERY ? "#" : "?"}${redirect}`;
}

/** A browser has no other place for an address between two hosts than the address of the sign-in. */
function tooLong(origin: string): AppAnswer {
  return {
    status: 414,
    title: "The Address Is Too Long for a Sign-In",
    text: "Sign in at the start page of the application, then open this address again.",
    links: [{ href: `${origin}/`, text: "Sign in" }],
  };
}

/** Set-Cookie values that set the host's session and remove the state of its sign-in. */
export function sessionCookies(id: string, maxAgeSeconds: number, origin: string): string[] {
  return [cookie("session", id, maxAgeSeconds, origin), cookie("state", "", 0, origin)];
}

/**
 * @param origin The origin of the app's host. It is required, because `//elsewhere/` alone would be the address of another host.
 * @param target The request target without the ticket.
 */
export function badTicket(origin: string, target: string): AppAnswer {
  return {
    status: 400,
    title: "Sign-In Link Not Valid",
    text: "This sign-in link was made for another browser, or was used before.",
    headers: { "Cross-Origin-Opener-Policy": "same-origin" },
    links: [{ href: `${origin}${target}`, text: "Sign in again" }],
  };
}

/** @param location Absolute, because a path may be read as the address of another host. */
export function seeOther(location: string, cookies: readonly string[]): AppAnswer {
  return { status: 303, title: "See Other", text: "", headers: { Location: location }, cookies };
}

function cookie(kind: "session" | "state", value: string, maxAgeSeconds: number, origin: string): string {
  const secure = origin.startsWith("https:");
  const attributes = `Path=/; HttpOnly; SameSite=Lax; Max-Age=${maxAgeSeconds}${secure ? "; Secure" : ""}`;
  return `${appCookies(secure)[kind]}=${value}; ${attributes}`;
}
