import type { IncomingMessage } from "node:http";
import { type AppAnswer, renderAnswer } from "../apps/pages.ts";
import { wantsHtml } from "../base/wants-html.ts";

/** The API's answer to a visitor of an app: a page or JSON, whichever the request accepts. */
export function answerResponse(request: IncomingMessage, answer: AppAnswer): Response {
  const rendered = renderAnswer(answer, { html: wantsHtml(request), reloads: false });
  return new Response(rendered.body, {
    status: rendered.status,
    headers: rendered.headers.map(([name, value]): [string, string] => [name, value]),
  });
}
