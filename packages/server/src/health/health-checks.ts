/** The health report: each part is checked from the outside, as a client would use it. A report is kept for a while. */
import type { Dialer } from "coder-client/dial/dialer";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import type { DerpHealth, HealthReport, HealthSettings } from "coder-protocol/rest/deployment";
import { rewriteEmbedded } from "wg-userspace/derp/map";
import { WebSocket } from "ws";
import { formatTime, type WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { dialerToOurselves, fetchText } from "../base/outgoing.ts";
import type { OwnAddresses } from "../base/own-addresses.ts";
import { BUILD_VERSION } from "../base/version.ts";
import type { ServerConfig } from "../config/parse.ts";
import type { ControlPlane } from "../control/control-plane.ts";
import type { Store } from "../db/store.ts";
import type { ProbeKeys } from "../relay/probe-keys.ts";
import { checkDerp } from "./derp.ts";
import { checkInterfaces, type InterfacesSection } from "./interfaces.ts";
import { fails, type HealthCode, message, reasonOf, works, worst } from "./section.ts";
import { checkWildcard, type WildcardSection } from "./wildcard.ts";

const CHECK_TIMEOUT_MS = 5_000;
const DATABASE_THRESHOLD_MS = 15;
const MAX_BODY = 256;
/** The most that is read of an answer. */
const MAX_PAGE_BYTES = 1024 * 1024;

/** Coder's report, and sections that it lacks. */
export type FullHealthReport = HealthReport & {
  readonly interfaces: InterfacesSection;
  readonly wildcard: WildcardSection;
};

export interface HealthOptions {
  readonly config: Pick<ServerConfig, "healthCheckRefreshMs" | "tls" | "derp" | "wildcardAccessUrl">;
  readonly addresses: Pick<OwnAddresses, "accessUrl" | "browserUrl">;
  readonly store: Pick<Store, "ping">;
  readonly control: Pick<ControlPlane, "relayMap">;
  readonly probeKeys: ProbeKeys;
  readonly clock: WallClock;
  readonly log: Logger;
}

export class HealthChecks {
  readonly #options: HealthOptions;
  #last: { readonly report: FullHealthReport; readonly atMs: number } | undefined;
  #running: Promise<FullHealthReport> | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /**
   * The last report, or a new one when that is too old or `force` is set. Askers at the same time share one run.
   * @param token Session token of an administrator, for the WebSocket that the checks open.
   */
  async report(token: string, force: boolean): Promise<FullHealthReport> {
    const { clock, config } = this.#options;
    const last = this.#last;
    if (!force && last !== undefined && clock.now() - last.atMs < config.healthCheckRefreshMs) return last.report;
    this.#running ??= this.#run(token).finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  async #run(token: string): Promise<FullHealthReport> {
    const options = this.#options;
    const dialer = dialerToOurselves(options.config.tls?.certFiles ?? []);
    const [accessUrl, database, websocket, derp, interfaces, wildcard] = await Promise.all([
      checkAccessUrl(options, dialer),
      checkDatabase(options),
      checkWebSocket(options, dialer, token),
      checkRelays(options, dialer),
      checkInterfaces(),
      checkWildcard(options.config.wildcardAccessUrl, options.addresses.browserUrl(), dialer),
    ]).finally(() => dialer.close());
    const sections = [accessUrl, database, websocket, derp, interfaces, wildcard];
    const atMs = options.clock.now();
    const report: FullHealthReport = {
      time: formatTime(atMs),
      healthy: sections.every((section) => section.healthy),
      severity: worst(sections.map((section) => section.severity)),
      derp,
      access_url: accessUrl,
      websocket,
      database,
      interfaces,
      wildcard,
      coder_version: BUILD_VERSION,
    };
    this.#last = { report, atMs };
    return report;
  }
}

/** The report with the sections marked that an administrator dismissed. */
export function withDismissals(
  report: FullHealthReport,
  dismissed: HealthSettings["dismissed_healthchecks"],
): FullHealthReport {
  return {
    ...report,
    derp: { ...report.derp, dismissed: dismissed.includes("DERP") },
    access_url: { ...report.access_url, dismissed: dismissed.includes("AccessURL") },
    websocket: { ...report.websocket, dismissed: dismissed.includes("Websocket") },
    database: { ...report.database, dismissed: dismissed.includes("Database") },
  };
}

async function checkAccessUrl(options: HealthOptions, dialer: Dialer): Promise<HealthReport["access_url"]> {
  const url = options.addresses.accessUrl();
  const unknown = { access_url: url.href, reachable: false, status_code: 0, healthz_response: "" };
  try {
    const { status, text } = await fetchText(dialer, new URL("/healthz", url), {
      maxBytes: MAX_PAGE_BYTES,
      signal: AbortSignal.timeout(CHECK_TIMEOUT_MS),
    });
    const found = { ...unknown, reachable: true, status_code: status, healthz_response: text.slice(0, MAX_BODY) };
    if (status === 200 && text === "OK") return { ...works(), ...found };
    return { ...fails("EACS04", `${url.origin}/healthz answered ${status} and not "OK"`), ...found };
  } catch (error) {
    return { ...fails("EACS03", `cannot fetch ${url.origin}/healthz: ${reasonOf(error)}`), ...unknown };
  }
}

async function checkDatabase(options: HealthOptions): Promise<HealthReport["database"]> {
  try {
    const latencies = [await options.store.ping(), await options.store.ping(), await options.store.ping()].sort(
      (a, b) => a - b,
    );
    const latencyMs = latencies[1] ?? 0;
    return {
      ...works(
        latencyMs > DATABASE_THRESHOLD_MS ? [message("EDB02", `median latency ${latencyMs.toFixed(1)} ms`)] : [],
      ),
      reachable: true,
      latency: `${latencyMs.toFixed(3)}ms`,
      latency_ms: latencyMs,
      threshold_ms: DATABASE_THRESHOLD_MS,
    };
  } catch (error) {
    options.log.error({ err: error }, "the database does not answer");
    return {
      ...fails("EDB01", "the database does not answer"),
      reachable: false,
      latency: "",
      latency_ms: 0,
      threshold_ms: DATABASE_THRESHOLD_MS,
    };
  }
}

/** Sends a text through the echo route under the access URL and waits for it to come back. */
async function checkWebSocket(
  options: HealthOptions,
  dialer: Dialer,
  token: string,
): Promise<HealthReport["websocket"]> {
  const url = new URL("/api/v2/debug/ws", options.addresses.accessUrl());
  const agent = dialer.agentFor(url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let status = 0;
  const failure = await new Promise<[HealthCode, string] | undefined>((resolve) => {
    const socket = new WebSocket(url, {
      headers: { [SESSION_TOKEN_HEADER]: token },
      agent,
      handshakeTimeout: CHECK_TIMEOUT_MS,
      followRedirects: false,
      perMessageDeflate: false,
    });
    const timer = setTimeout(() => finish(["EWS02", "no echo in time"]), CHECK_TIMEOUT_MS);
    const finish = (problem: [HealthCode, string] | undefined): void => {
      clearTimeout(timer);
      socket.terminate();
      resolve(problem);
    };
    socket.on("unexpected-response", (_request, response) => {
      status = response.statusCode ?? 0;
      finish(["EWS01", `the upgrade was answered with HTTP ${status}`]);
    });
    socket.on("open", () => {
      status = 101;
      socket.send("echo");
    });
    socket.on("message", (data) =>
      finish(String(data) === "echo" ? undefined : ["EWS03", "the echo was changed on the way"]),
    );
    socket.on("error", (error) => finish(["EWS01", reasonOf(error)]));
    socket.on("close", () => finish(["EWS02", "closed before the echo"]));
  });
  return { ...(failure === undefined ? works() : fails(...failure)), body: "", code: status };
}

async function checkRelays(options: HealthOptions, dialer: Dialer): Promise<DerpHealth> {
  const { derp } = options.config;
  return await checkDerp({
    map: rewriteEmbedded(options.control.relayMap(), options.addresses.accessUrl().href),
    keys: options.probeKeys,
    dialer,
    forceWebSocket: derp.forceWebsockets,
    blockDirect: derp.blockDirect,
  });
}
