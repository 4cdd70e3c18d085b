/**
 * Where a `redirect` parameter may lead after a login: only to a path of this origin. Undefined for anything else. Browsers treat
 * a backslash as a slash and drop control characters, so `/\host` and `/<tab>/host` would leave the origin.
 */
export function redirectTarget(text: string | null, origin: string): string | undefined {
  if (text === null || text.length > 2048) return undefined;
  if (!text.startsWith("/") || text[1] === "/" || text[1] === "\\") return undefined;
  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(text)) return undefined;
  if (!URL.canParse(text, origin)) return undefined;
  const url = new URL(text, origin);
  // Removing dot segments may leave a path that begins with two slashes, as in "/.//host".
  if (url.origin !== origin || url.pathname.startsWith("//")) return undefined;
  return `${url.pathname}${url.search}${url.hash}`;
}
