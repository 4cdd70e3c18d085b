/** Longer than the longest address of a sign-in to an app, which contains the address of the app. */
const MAX_LENGTH = 64 * 1024;

/** The `redirect` parameter of the login page. One that is too long for a request is in the fragment. */
export function redirectOf(query: URLSearchParams, fragment: string): string | null {
  return query.get("redirect") ?? new URLSearchParams(fragment.replace(/^#/, "")).get("redirect");
}

/**
 * Where a `redirect` parameter may lead after a login: only to a path of this origin. Undefined for anything else. Browsers treat
 * a backslash as a slash and drop control characters, so `/\host` and `/<tab>/host` would leave the origin.
 */
export function redirectTarget(text: string | null, origin: string): string | undefined {
  if (text === null || text.length > MAX_LENGTH) return undefined;
  if (!text.startsWith("/") || text[1] === "/" || text[1] === "\\") return undefined;
  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(text)) return undefined;
  if (!URL.canParse(text, origin)) return undefined;
  const url = new URL(text, origin);
  // Removing dot segments may leave a path that begins with two slashes, as in "/.//host".
  if (url.origin !== origin || url.pathname.startsWith("//")) return undefined;
  return `${url.pathname}${url.search}${url.hash}`;
}
