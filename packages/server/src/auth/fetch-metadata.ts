/**
 * Fetch Metadata (https://www.w3.org/TR/fetch-metadata/): which page caused a request. SameSite cookies do not separate the
 * deployment from the apps below its own domain; this does.
 */
import type { IncomingMessage } from "node:http";

/** Whether a login's cookie counts for a request to the API, as far as Fetch Metadata tell. Clients without them are no browsers. */
export function mayReadWithCookie(
  { method, url, headers }: Pick<IncomingMessage, "method" | "url" | "headers">,
  navigation: boolean,
): boolean {
  if (!(url ?? "").startsWith("/api/")) return true;
  const site = headers["sec-fetch-site"];
  if (site === undefined || site === "same-origin" || site === "none") return true;
  const opens = headers["sec-fetch-mode"] === "navigate" && headers["sec-fetch-dest"] === "document";
  return navigation && opens && (method === "GET" || method === "HEAD");
}
