/** The dashboard: its pages, its files, and the reports of browsers about violations of its policy. */
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { RequestRoute } from "../../base/routes.ts";
import { HttpFailure } from "../failure.ts";
import type { BuildOutput, PageAddress } from "./build-output.ts";
import { type Boot, fillPage } from "./page.ts";
import { ASSET_POLICY, PAGE_HEADERS, pagePolicy, REPORTS_PATH, tunnelWorkerPolicy, workerPolicy } from "./policy.ts";
import { PolicyReports } from "./policy-reports.ts";
import { sendAsset } from "./send-asset.ts";

export interface DashboardParts {
  readonly output: BuildOutput;
  /** The user by the request's cookie, and what the page needs to know about the deployment. */
  boot(request: IncomingMessage): Promise<Boot>;
  /** Whether clients reach this server by https, even if a proxy terminates TLS. */
  isSecure(request: IncomingMessage): boolean;
  /** Other origins to which pages may connect. */
  connectOrigins(): readonly string[];
  /** Relays as WebSocket origins, for the worker with a tunnel. */
  relaySockets(): readonly string[];
  /** A browser reports a violation of the policy. */
  logReport(report: string): void;
}

/** Paths that other parts of the server answer; none of them is a page. */
const RESERVED =
  /^\/(?:api|derp|bin|cli-auth|install\.sh|install\.ps1|healthz|readyz|latency-check|metrics|debug)(?:\/|$)/;
const FILES = /^\/(?:assets|icon)\//;

export function dashboardRoute(parts: DashboardParts): RequestRoute {
  const reports = new PolicyReports(parts.logReport);
  return {
    name: "dashboard",
    match: ({ pathname }, method) =>
      FILES.test(pathname) ||
      (pathname === REPORTS_PATH && method === "POST") ||
      ((method === "GET" || method === "HEAD") && !RESERVED.test(pathname)),
    handle: async (request, response) => {
      const { pathname } = new URL(`http://unused${request.url ?? "/"}`);
      if (pathname === REPORTS_PATH) await reports.take(request, response);
      else if (FILES.test(pathname)) sendFile(parts, pathname, request, response);
      else await sendPage(parts, pathname, request, response);
    },
  };
}

const WORKERS = "/assets/worker/";
/** The file built from `worker.ts` in the dashboard's folder "e2e". */
const TUNNEL_WORKER = /^\/assets\/worker\/worker-[\w-]+\.js$/;

function sendFile(parts: DashboardParts, pathname: string, request: IncomingMessage, response: ServerResponse): void {
  const asset = parts.output.assets.get(pathname);
  if (request.method !== "GET" && request.method !== "HEAD") {
    fail(
      request,
      response,
      new HttpFailure(405, "Only GET and HEAD are served here.", { headers: { Allow: "GET, HEAD" } }),
    );
  } else if (asset === undefined) fail(request, response, new HttpFailure(404, "There is no such file."));
  else {
    const policy = pathname.startsWith(WORKERS) ? policyOfWorker(parts, pathname, request) : ASSET_POLICY;
    sendAsset(request, response, asset, { named: pathname.startsWith("/assets/"), policy });
  }
}

function policyOfWorker(parts: DashboardParts, pathname: string, request: IncomingMessage): string {
  const own = socketOrigin(request, parts.isSecure(request));
  return TUNNEL_WORKER.test(pathname) ? tunnelWorkerPolicy(own, parts.relaySockets()) : workerPolicy(own);
}

async function sendPage(
  parts: DashboardParts,
  pathname: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const page = pageAt(parts.output, pathname);
  if (!takesPage(request, page !== undefined)) {
    fail(request, response, new HttpFailure(404, "Route not found."));
    return;
  }
  const nonce = randomBytes(16).toString("base64");
  const html = fillPage(parts.output.template, {
    nonce,
    boot: await parts.boot(request),
    preload: page?.preload ?? [],
  });
  response.writeHead(page === undefined ? 404 : 200, {
    ...PAGE_HEADERS,
    "Content-Type": "text/html; charset=utf-8",
    "Content-Length": Buffer.byteLength(html),
    "Content-Security-Policy": pagePolicy({
      nonce,
      connect: [socketOrigin(request, parts.isSecure(request)), ...parts.connectOrigins()],
    }),
    "Cache-Control": "no-store",
  });
  response.end(request.method === "HEAD" ? undefined : html);
}

function pageAt({ pages }: BuildOutput, pathname: string): PageAddress | undefined {
  const path = pathname.replace(/(?<=[^/])\/$/, "");
  return pages.find(({ pattern }) => pattern.test(path));
}

/** A page that exists is sent to any client that accepts it; the page for unknown paths only to browsers. */
function takesPage(request: IncomingMessage, exists: boolean): boolean {
  const accept = request.headers.accept?.toLowerCase() ?? "*/*";
  return accept.includes("text/html") || (exists && accept.includes("*/*"));
}

/** This host as browsers write it; its name was checked before. A value that is not a host is left out of the policy. */
function socketOrigin({ headers }: IncomingMessage, secure: boolean): string {
  const host = headers.host ?? "";
  return /^(?:[a-zA-Z0-9.-]+|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?$/.test(host) ? `${secure ? "wss" : "ws"}://${host}` : "";
}

function fail(request: IncomingMessage, response: ServerResponse, failure: HttpFailure): void {
  const text = `${JSON.stringify(failure.body)}\n`;
  response.writeHead(failure.status, {
    "Content-Type": "application/json; charset=utf-8",
    "Content-Length": Buffer.byteLength(text),
    "Cache-Control": "no-store",
    ...failure.headers,
  });
  response.end(request.method === "HEAD" ? undefined : text);
}
