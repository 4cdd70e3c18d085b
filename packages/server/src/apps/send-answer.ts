/** Sends the server's own answers on the connections of apps. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { sendLastAnswer } from "../base/last-answer.ts";
import { wantsHtml } from "../base/wants-html.ts";
import { type AppAnswer, renderAnswer } from "./pages.ts";
import { headOf } from "./web-socket.ts";

/** Ends a request with an answer; if another answer has begun, the connection is destroyed. */
export function sendAnswer(request: IncomingMessage, response: ServerResponse, answer: AppAnswer): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const rendered = renderAnswer(answer, { html: wantsHtml(request), reloads: request.method === "GET" });
  response.writeHead(rendered.status, rendered.headers.flat());
  response.end(request.method === "HEAD" ? undefined : rendered.body);
}

/** Refuses an upgrade. */
export function refuseUpgrade(socket: Duplex, answer: AppAnswer): void {
  const rendered = renderAnswer(
    { ...answer, headers: { ...answer.headers, Connection: "close" } },
    { html: false, reloads: false },
  );
  sendLastAnswer(socket, headOf(rendered.status, "", rendered.headers), rendered.body);
}

/** Whether a request offers to become a WebSocket. Other upgrades are ignored (RFC 9110 §7.8). */
export function offersWebSocket(request: IncomingMessage): boolean {
  return request.method === "GET" && (request.headers.upgrade ?? "").trim().toLowerCase() === "websocket";
}

/** Whether an upgrade request has a body, which a WebSocket handshake may not have. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined;
}
