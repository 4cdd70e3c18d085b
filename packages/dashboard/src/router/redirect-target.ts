/**
 * Where a `redirect` parameter may lead after a login: a path of this origin, and nowhere else. Undefined when it is
 * anything else. Browsers take a backslash for a slash and drop control characters, so that `/\host` and `/<tab>/host`
 * would leave the origin.
 */
export function redirectTarget(text: string | null, origin: string): string | undefined {
  if (text === null || text.length > 2048) return undefined;
  if (!text.startsWith("/") || text[1] === "/" || text[1] === "\\") return undefined;
  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(text)) return undefined;
  if (!URL.canParse(text, origin)) return undefined;
  const url = new URL(text, origin);
  // Dot segments may leave a path that begins with two slashes: "/.//host".
  if (url.origin !== origin || url.pathname.startsWith("//")) return undefined;
  return `${url.pathname}${url.search}${url.hash}`;
}
