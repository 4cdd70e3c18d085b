/** The health report: each part is checked from outside, as a client would use it. A report is reused for a while. */
import type { Dialer } from "coder-client/dial/dialer";
import type {
  DerpHealth,
  HealthMessage,
  HealthReport,
  HealthSettings,
  HealthSeverity,
  StoredHealthReport,
} from "coder-protocol/rest/deployment";
import { rewriteEmbedded } from "wg-userspace/derp/map";
import { WebSocket } from "ws";
import { formatTime, type WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { dialerToOurselves, fetchText } from "../base/outgoing.ts";
import type { OwnAddresses } from "../base/own-addresses.ts";
import type { CommonSource } from "../base/upgrade-sources.ts";
import { BUILD_VERSION } from "../base/version.ts";
import type { ServerConfig } from "../config/parse.ts";
import type { Replica } from "../control/cluster/cluster-database.ts";
import type { ControlPlane } from "../control/control-plane.ts";
import type { Store } from "../db/store.ts";
import type { ProbeKeys } from "../relay/probe-keys.ts";
import type { SiblingStatus } from "../relay/relay-mesh.ts";
import { checkDatabase, type SharedDatabase } from "./database.ts";
import { checkDerp } from "./derp.ts";
import { checkInterfaces, type InterfacesSection } from "./interfaces.ts";
import {
  type KnownReport,
  type ReplicaFacts,
  type ReplicasSection,
  replicasSection,
  replicaWarnings,
} from "./replicas.ts";
import { fails, type HealthCode, reasonOf, type Section, works, worst } from "./section.ts";
import { encodeReport, parseReport, storedReport } from "./stored-report.ts";
import { checkWildcard, type WildcardSection } from "./wildcard.ts";
import { checkProxies, type ProxySection, type ProxySources } from "./workspace-proxies.ts";

const CHECK_TIMEOUT_MS = 5_000;
const FIRST_RUN_MS = 3_000;
const MIN_INTERVAL_MS = 1_000;
const JITTER = 0.1;
const MAX_BODY = 256;
/** Maximum number of bytes read of an answer. */
const MAX_PAGE_BYTES = 1024 * 1024;

/** Coder's report, with additional sections. */
export type FullHealthReport = HealthReport & {
  readonly interfaces: InterfacesSection;
  readonly wildcard: WildcardSection;
  readonly replicas: ReplicasSection;
  readonly workspace_proxy: ProxySection;
};

export interface HealthOptions {
  readonly config: Pick<
    ServerConfig,
    "healthCheckRefreshMs" | "databaseThresholdMs" | "tls" | "derp" | "wildcardAccessUrl" | "accessUrl"
  >;
  readonly addresses: Pick<OwnAddresses, "accessUrl" | "browserUrl">;
  readonly store: Pick<Store, "ping" | "pool" | "replicaHealths">;
  readonly control: Pick<ControlPlane, "relayMap">;
  readonly probeKeys: ProbeKeys;
  /** Headers for a request to the echo route; any server of the deployment accepts them. */
  readonly echoHeaders: () => Readonly<Record<string, string>>;
  readonly replicas: ReplicaSource;
  readonly proxies: ProxySources;
  readonly clock: WallClock;
  readonly log: Logger;
}

/** The other servers of the deployment, as this one knows them. */
export interface ReplicaSource {
  /** This server first. */
  list(): readonly Replica[];
  /** Links of this server's relay to the siblings' relays. */
  links(): readonly SiblingStatus[];
  commonSource(): CommonSource | undefined;
  /** Undefined if there is only one server. */
  shared(): Omit<SharedDatabase, "pool"> | undefined;
}

/** What this server found out about itself. */
interface OwnReport {
  readonly sections: Omit<FullHealthReport, "time" | "healthy" | "severity" | "coder_version" | "replicas">;
  readonly warnings: HealthMessage[];
  readonly stored: StoredHealthReport;
  readonly atMs: number;
}

export class HealthChecks {
  readonly #options: HealthOptions;
  #last: OwnReport | undefined;
  #running: Promise<OwnReport> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /**
   * From now on the checks also run periodically, so that the other servers know the state of this one. Does nothing if there is
   * only one server.
   */
  start(): void {
    if (this.#options.store.replicaHealths !== undefined) this.#runIn(FIRST_RUN_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /**
   * The last report, or a new one if that is too old or `force` is set. Concurrent callers share one run. For other servers,
   * their last reports are used.
   */
  async report(force: boolean): Promise<FullHealthReport> {
    const { clock, config } = this.#options;
    const last = this.#last;
    const isFresh = !force && last !== undefined && clock.now() - last.atMs < config.healthCheckRefreshMs;
    return await this.#withOthers(isFresh ? last : await this.#run());
  }

  #runIn(ms: number): void {
    this.#timer = setTimeout(() => {
      void this.#run()
        .catch((error: unknown) => this.#options.log.error({ err: error }, "the health checks failed"))
        .finally(() => {
          const { healthCheckRefreshMs } = this.#options.config;
          const next = Math.max(MIN_INTERVAL_MS, healthCheckRefreshMs * (1 + JITTER * (2 * Math.random() - 1)));
          if (!this.#closed) this.#runIn(next);
        });
    }, ms);
    this.#timer.unref();
  }

  #run(): Promise<OwnReport> {
    this.#running ??= this.#check()
      .then(async (report) => {
        this.#last = report;
        await this.#storeReport(report.stored);
        return report;
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  async #check(): Promise<OwnReport> {
    const options = this.#options;
    const { config, store, log } = options;
    const dialer = dialerToOurselves(config.tls?.certFiles ?? []);
    const shared = options.replicas.shared();
    const [access_url, database, websocket, derp, interfaces, wildcard] = await Promise.all([
      checkAccessUrl(options, dialer),
      checkDatabase({
        ping: () => store.ping(),
        thresholdMs: config.databaseThresholdMs,
        shared: shared === undefined ? undefined : { ...shared, pool: store.pool },
        log,
      }),
      checkWebSocket(options, dialer),
      checkRelays(options, dialer),
      checkInterfaces(),
      checkWildcard(config.wildcardAccessUrl, options.addresses.browserUrl(), dialer),
    ]).finally(() => dialer.close());
    const workspace_proxy = checkProxies(options.proxies);
    const sections = { derp, access_url, websocket, database, interfaces, wildcard, workspace_proxy };
    const warnings = replicaWarnings(this.#facts());
    const atMs = options.clock.now();
    const all = { ...sections, replicas: works(warnings) };
    const facts = { time: formatTime(atMs), coder_version: BUILD_VERSION, ...overall(Object.values(all)) };
    return { sections, warnings, stored: storedReport(facts, all), atMs };
  }

  #facts(): ReplicaFacts {
    const { replicas, config } = this.#options;
    const [own, ...others] = replicas.list();
    return {
      own: own!,
      others,
      links: replicas.links(),
      hasRelay: config.derp.serverEnabled,
      accessUrl: config.accessUrl,
      commonSource: replicas.commonSource(),
    };
  }

  /** Stores the report where the other servers read it. */
  async #storeReport(report: StoredHealthReport): Promise<void> {
    const { store, replicas, log } = this.#options;
    const [own] = replicas.list();
    if (this.#closed || own === undefined) return;
    try {
      await store.replicaHealths?.write(own.id, encodeReport(report));
    } catch (error) {
      log.warn({ err: error }, "the health report is not in the database: other servers show an older one");
    }
  }

  async #withOthers(own: OwnReport): Promise<FullHealthReport> {
    const { clock, config } = this.#options;
    const others = await this.#others();
    const now = clock.now();
    const ageMs = Math.max(0, now - own.atMs);
    const replicas = replicasSection(this.#facts(), own.warnings, { report: own.stored, ageMs }, others, {
      now,
      refreshMs: config.healthCheckRefreshMs,
    });
    const { time, coder_version } = own.stored;
    const all = { ...own.sections, replicas };
    return { time, coder_version, ...overall(Object.values(all)), ...all };
  }

  /** Undefined if they cannot be read. */
  async #others(): Promise<readonly KnownReport[] | undefined> {
    const { store, log } = this.#options;
    try {
      const rows = (await store.replicaHealths?.read()) ?? [];
      return rows.map(({ id, health, ageMs }) => ({ id, report: parseReport(health), ageMs }));
    } catch (error) {
      log.warn({ err: error }, "the health reports of other servers cannot be read");
      return undefined;
    }
  }
}

function overall(sections: readonly Pick<Section, "healthy" | "severity">[]): {
  healthy: boolean;
  severity: HealthSeverity;
} {
  return {
    healthy: sections.every(({ healthy }) => healthy),
    severity: worst(sections.map(({ severity }) => severity)),
  };
}

/** The report, in which the sections that an administrator dismissed are marked. */
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
    workspace_proxy: { ...report.workspace_proxy, dismissed: dismissed.includes("WorkspaceProxy") },
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

/** Sends a text through the echo route under the access URL and waits for it to return. */
async function checkWebSocket(options: HealthOptions, dialer: Dialer): Promise<HealthReport["websocket"]> {
  const url = new URL("/api/v2/debug/ws", options.addresses.accessUrl());
  const agent = dialer.agentFor(url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  let status = 0;
  const failure = await new Promise<[HealthCode, string] | undefined>((resolve) => {
    const socket = new WebSocket(url, {
      headers: options.echoHeaders(),
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
