/** The routes of a workspace proxy other than its relay: probes and its identity. */
import type { ServerResponse } from "node:http";
import type { ProxyHealthReport } from "coder-protocol/rest/workspace-proxies";
import type { RequestRoute } from "../base/routes.ts";

export interface ProxyRouteDeps {
  /** Whether it accepts clients: it is registered and not stopping. */
  readonly ready: () => boolean;
  readonly report: () => ProxyHealthReport;
  readonly buildInfo: () => object;
}

const PLAIN = { "Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store" };

export function proxyRoutes({ ready, report, buildInfo }: ProxyRouteDeps): RequestRoute[] {
  return [
    route("healthz", "/healthz", (response) => text(response, 200, "OK")),
    route("readyz", "/readyz", (response) => {
      if (ready()) text(response, 200, "OK");
      else text(response, 503, "not registered with the primary", { "Retry-After": "5" });
    }),
    // Pages of other origins measure their latency to this proxy; the answer contains no data.
    route("latency-check", "/latency-check", (response) =>
      text(response, 200, "OK", { "Access-Control-Allow-Origin": "*", "Timing-Allow-Origin": "*" }),
    ),
    route("healthz-report", "/healthz-report", (response) => json(response, report())),
    route("buildinfo", "/buildinfo", (response) => json(response, buildInfo())),
    route("buildinfo", "/api/v2/buildinfo", (response) => json(response, buildInfo())),
  ];
}

function route(name: string, path: string, answer: (response: ServerResponse) => void): RequestRoute {
  return {
    name,
    match: (url, method) => url.pathname === path && (method === "GET" || method === "HEAD"),
    handle: (_request, response) => answer(response),
  };
}

function text(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { ...PLAIN, ...headers }).end(body);
}

function json(response: ServerResponse, body: object): void {
  response.writeHead(200, { "Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}
