/**
 * Fetch Metadata (https://www.w3.org/TR/fetch-metadata/): which page caused a request. SameSite cookies do not separate the
 * deployment from the apps below its own domain; this does.
 */
import type { IncomingMessage } from "node:http";

/**
 * Whether a login's cookie is accepted on a request to the API, judged by Fetch Metadata. Clients that send none are not
 * browsers.
 */
export function mayReadWithCookie(
  { method, url, headers }: Pick<IncomingMessage, "method" | "url" | "headers">,
  navigation: boolean,
): boolean {
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return true;
  if (!isApiPath(url ?? "/")) return true;
  const opens = headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document";
  return navigation && opens && (method === "GET" || method === "HEAD");
}

/** Routes are matched after dot segments and escapes are resolved, so the test resolves them too. */
function isApiPath(target: string): boolean {
  if (!URL.canParse(`http://unused${target}`)) return true;
  const { pathname } = new URL(`http://unused${target}`);
  const plain = pathname.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(parseInt(digits, 16)));
  return plain.startsWith("/api/");
}
