/** The answers by which a browser gets a session at an app host, both the server's and a workspace proxy's. */
import { appCookies } from "./names.ts";
import type { AppAnswer } from "./pages.ts";
import { newNonce, stateOf } from "./tickets.ts";

export const AUTH_REDIRECT_PATH = "/api/v2/applications/auth-redirect";
const STATE_SECONDS = 300;

/**
 * Redirects a navigation to the sign-in at the deployment.
 * @param origin The origin of the app's host. @param target The request target as received.
 */
export function beginSignIn(deploymentUrl: URL, origin: string, target: string): AppAnswer {
  const nonce = newNonce();
  const to = new URL(AUTH_REDIRECT_PATH, deploymentUrl);
  to.searchParams.set("redirect_uri", `${origin}${target}`);
  to.searchParams.set("state", stateOf(nonce));
  return seeOther(to.href, [cookie("state", nonce, STATE_SECONDS, origin)]);
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
