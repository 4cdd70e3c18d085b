import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import type { DerpHealth, HealthMessage, HealthReport, HealthSeverity } from "coder-protocol/rest/deployment";
import { WebSocket } from "ws";
import { requestToken } from "../../auth/authenticator.ts";
import { formatTime } from "../../clock.ts";
import { notFound } from "../../errors.ts";
import { BUILD_VERSION } from "../../version.ts";
import type { RouteContext, Router } from "../context.ts";
import { requireOwner, requireUser } from "../reply.ts";

const CHECK_TIMEOUT_MS = 5_000;
const DATABASE_THRESHOLD_MS = 15;

export function debugRoutes(router: Router, context: RouteContext): void {
  const user = requireUser(context);

  router.get("/debug/health", user, requireOwner, async (c) => {
    const token = requestToken(c.env.incoming)?.token ?? "";
    return c.json(await healthReport(context, token));
  });

  router.get("/debug/coordinator", user, requireOwner, (c) => {
    const control = context.controlPlane();
    if (control?.debugCoordinator === undefined) throw notFound();
    return c.json(control.debugCoordinator());
  });
}

/** Looks at each part from the outside, the way a client would. */
async function healthReport(context: RouteContext, token: string): Promise<HealthReport> {
  const [accessUrl, database, websocket, derp] = await Promise.all([
    checkAccessUrl(context),
    checkDatabase(context),
    checkWebSocket(context, token),
    checkDerp(context),
  ]);
  const sections = [accessUrl, database, websocket, derp];
  const severity = worst(sections.map((section) => section.severity));
  return {
    time: formatTime(context.clock.now()),
    healthy: severity !== "error",
    severity,
    derp,
    access_url: accessUrl,
    websocket,
    database,
    coder_version: BUILD_VERSION,
  };
}

async function checkAccessUrl(context: RouteContext): Promise<HealthReport["access_url"]> {
  const url = context.accessUrl();
  const base = { access_url: url.href, dismissed: false };
  try {
    const response = await fetch(new URL("/healthz", url), {
      redirect: "manual",
      signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
    });
    const text = (await response.text()).slice(0, 256);
    const healthy = response.status === 200 && text === "OK";
    const warnings: HealthMessage[] = healthy
      ? []
      : [{ code: "EACS03", message: `/healthz answered ${response.status}` }];
    return {
      ...base,
      healthy,
      severity: healthy ? "ok" : "error",
      warnings,
      reachable: true,
      status_code: response.status,
      healthz_response: text,
    };
  } catch (error) {
    return {
      ...base,
      healthy: false,
      severity: "error",
      warnings: [],
      error: `EACS02: cannot reach the access URL: ${reasonOf(error)}`,
      reachable: false,
      status_code: 0,
      healthz_response: "",
    };
  }
}

async function checkDatabase(context: RouteContext): Promise<HealthReport["database"]> {
  const base = { threshold_ms: DATABASE_THRESHOLD_MS, dismissed: false };
  try {
    const latencies = [await context.store.ping(), await context.store.ping(), await context.store.ping()].sort(
      (a, b) => a - b,
    );
    const latencyMs = latencies[1] ?? 0;
    const slow = latencyMs > DATABASE_THRESHOLD_MS;
    return {
      ...base,
      healthy: true,
      severity: slow ? "warning" : "ok",
      warnings: slow ? [{ code: "EDB02", message: `median latency ${latencyMs.toFixed(1)} ms` }] : [],
      reachable: true,
      latency: `${latencyMs.toFixed(3)}ms`,
      latency_ms: latencyMs,
    };
  } catch (error) {
    context.log.error({ err: error }, "the database does not answer");
    return {
      ...base,
      healthy: false,
      severity: "error",
      warnings: [],
      error: "EDB01: the database does not answer",
      reachable: false,
      latency: "",
      latency_ms: 0,
    };
  }
}

/** Sends a text through the echo route under the access URL and waits for it to come back. */
async function checkWebSocket(context: RouteContext, token: string): Promise<HealthReport["websocket"]> {
  const url = new URL("/api/v2/debug/ws", context.accessUrl());
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const failure = await new Promise<string | undefined>((resolve) => {
    const socket = new WebSocket(url, {
      headers: { [SESSION_TOKEN_HEADER]: token },
      handshakeTimeout: CHECK_TIMEOUT_MS,
      followRedirects: false,
      perMessageDeflate: false,
    });
    const timer = setTimeout(() => finish("no echo in time"), CHECK_TIMEOUT_MS);
    const finish = (problem: string | undefined): void => {
      clearTimeout(timer);
      socket.terminate();
      resolve(problem);
    };
    socket.on("open", () => socket.send("echo"));
    socket.on("message", (data) => finish(String(data) === "echo" ? undefined : "the echo was changed on the way"));
    socket.on("error", (error) => finish(reasonOf(error)));
    socket.on("close", () => finish("closed before the echo"));
  });
  return {
    healthy: failure === undefined,
    severity: failure === undefined ? "ok" : "error",
    warnings: [],
    ...(failure === undefined ? {} : { error: `EWS01: ${failure}` }),
    dismissed: false,
    body: "",
    code: failure === undefined ? 101 : 0,
  };
}

async function checkDerp(context: RouteContext): Promise<DerpHealth> {
  const base = { dismissed: false, regions: {}, netcheck_logs: [] };
  const relay = context.relay();
  if (relay?.health !== undefined) return await relay.health();
  const serves = relay !== undefined;
  return {
    ...base,
    healthy: serves || !context.config.derp.serverEnabled,
    severity: serves ? "ok" : "warning",
    warnings: serves ? [] : [{ code: "EDERP02", message: "the embedded relay is not running" }],
  };
}

function worst(severities: readonly HealthSeverity[]): HealthSeverity {
  if (severities.includes("error")) return "error";
  return severities.includes("warning") ? "warning" : "ok";
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error ? cause.message : "unknown";
}
