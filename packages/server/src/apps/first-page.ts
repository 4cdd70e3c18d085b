import type { IncomingMessage } from "node:http";
import type { AppTarget } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";

/**
 * The redirect of a first page that was requested without a query, to the same page with the query that the app declares, for
 * example the folder that an editor opens.
 *
 * @param prefix Precedes the app's own paths; "" on an app's own host.
 */
export function firstPage(target: AppTarget, prefix: string, request: IncomingMessage): AppAnswer | undefined {
  if (target.query === "" || (request.method !== "GET" && request.method !== "HEAD")) return undefined;
  if (request.url !== `${prefix}/`) return undefined;
  return { status: 307, title: "Temporary Redirect", text: "", headers: { Location: `${prefix}/${target.query}` } };
}
