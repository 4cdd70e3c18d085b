import type { IncomingMessage } from "node:http";

/** Whether a person reads the answer: it is for a page of a browser. */
export function wantsHtml({ headers }: Pick<IncomingMessage, "headers">): boolean {
  return headers["sec-fetch-mode"] === "navigate" || (headers.accept ?? "").includes("text/html");
}
