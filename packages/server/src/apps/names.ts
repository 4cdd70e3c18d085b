/** Cookies, headers and query parameters that belong to the server on app hosts: programs can neither read nor set them. */

/** The one-time ticket at the end of a sign-in. The name is Coder's, because tools that hide such parameters know it. */
export const TICKET_PARAMETER = "coder_application_connect_api_key_35e783";
/** Gives a client that cannot follow a sign-in the address of the sign-in. */
export const LOGIN_HEADER = "Coder-App-Login";

const OWN_PARAMETERS: ReadonlySet<string> = new Set([TICKET_PARAMETER, "coder_session_token"]);

const OWN_COOKIES: ReadonlySet<string> = new Set([
  "coder_session_token",
  "coder_app_session",
  "coder_app_state",
  "coder_path_app_session_token",
  "coder_signed_app_token",
]);

/** Names of the two cookies on an app host. On https, the prefix makes browsers refuse these names for any wider domain. */
export function appCookies(secure: boolean): { readonly session: string; readonly state: string } {
  const prefix = secure ? "__Host-" : "";
  return { session: `${prefix}coder_app_session`, state: `${prefix}coder_app_state` };
}

/**
 * Further cookies that are the server's on the deployment's own host. The names are common; on other hosts they belong to
 * programs.
 */
const MAIN_HOST_COOKIES: ReadonlySet<string> = new Set([
  "csrf_token",
  "__host-csrf_token",
  "oauth_state",
  "oauth_redirect",
]);

/**
 * Whether a cookie belongs to the server. The case is ignored, because browsers ignore it when they check prefixes.
 *
 * @param onMainHost Whether the cookie is one of the deployment's own host.
 */
export function isOwnCookie(name: string, onMainHost = false): boolean {
  const lower = name.toLowerCase();
  return (
    (onMainHost && MAIN_HOST_COOKIES.has(lower)) ||
    OWN_COOKIES.has(lower) ||
    lower.startsWith("coder_subdomain_app_session_token") ||
    lower.startsWith("__host-coder_") ||
    lower.startsWith("__secure-coder_")
  );
}

/** The value of a query parameter in a request target; undefined if it is absent. */
export function queryValue(target: string, name: string): string | undefined {
  const query = target.indexOf("?");
  return query < 0 ? undefined : (new URLSearchParams(target.slice(query + 1)).get(name) ?? undefined);
}

/** The request target without the server's parameters; everything else is kept byte for byte. */
export function withoutOwnParameters(target: string): string {
  const start = target.indexOf("?");
  if (start < 0) return target;
  const parts = target.slice(start + 1).split("&");
  const kept = parts.filter((part) => {
    const [name] = new URLSearchParams(part).keys();
    return name === undefined || !OWN_PARAMETERS.has(name);
  });
  if (kept.length === parts.length) return target;
  return kept.length === 0 ? target.slice(0, start) : `${target.slice(0, start)}?${kept.join("&")}`;
}
