import type { IncomingMessage } from "node:http";
import type { AppTarget } from "./decision.ts";
import type { AppAnswer } from "./pages.ts";

/**
 * The redirect that adds the query with which an app was declared, such as the folder that an editor opens, to a first page that is
 * asked for without one.
 *
 * @param prefix In front of the app's own paths; "" on a host of its own.
 */
export function firstPage(target: AppTarget, prefix: string, request: IncomingMessage): AppAnswer | undefined {
  if (target.query === "" || (request.method !== "GET" && request.method !== "HEAD")) return undefined;
  if (request.url !== `${prefix}/`) return undefined;
  return { status: 307, title: "Temporary Redirect", text: "", headers: { Location: `${prefix}/${target.query}` } };
}
