import type { IncomingMessage } from "node:http";

/** Whether the answer is for a page in a browser. */
export function wantsHtml({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers["sec-fetch-mode"] === "navigate" || (headers.accept ?? "").includes("text/html");
}
