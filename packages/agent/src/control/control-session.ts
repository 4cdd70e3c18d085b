/**
 * The agent's side of the control plane: one connection that carries the Agent and the Tailnet service. Fetches the
 * manifest, reports lifecycle and statistics, and keeps the tunnel's peers current. Reconnects without limit; the
 * tunnel and its sessions are not affected.
 */
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ClientError } from "coder-client/base/client-error";
import { Redial } from "coder-client/base/redial";
import { answeredWithin } from "coder-client/control/answer-limit";
import { dialRpc, type RpcConnection } from "coder-client/control/rpc-connection";
import { TailnetSession } from "coder-client/control/tailnet-session";
import type { TailnetNode } from "coder-client/node/tailnet-node";
import type { Deployment } from "coder-client/rest/deployment";
import type { RpcSession } from "coder-protocol/drpc/async";
import { Agent, Lifecycle_State, type Manifest, StatsSchema } from "coder-protocol/gen/agent_pb.js";
import { AGENT_NEEDED_VERSION } from "coder-protocol/version";
import { sleep } from "wg-userspace/async/abort";
import { Bell } from "wg-userspace/async/bell";
import type { Logger } from "wg-userspace/base/ports";
import type { StatsReport } from "./stats.ts";

const RPC_PATH = "/api/v2/workspaceagents/me/rpc";
const REDIAL_LIMIT_MS = 10_000;
const BANNER_INTERVAL_MS = 2 * 60_000;
/** Limit of each of the calls without which an agent does nothing: a server that does not answer them is left for another. */
const START_LIMIT_MS = 60_000;
const MIN_REPORT_INTERVAL_MS = 1_000;

const STATES = {
  starting: Lifecycle_State.STARTING,
  start_timeout: Lifecycle_State.START_TIMEOUT,
  start_error: Lifecycle_State.START_ERROR,
  ready: Lifecycle_State.READY,
  shutting_down: Lifecycle_State.SHUTTING_DOWN,
  shutdown_timeout: Lifecycle_State.SHUTDOWN_TIMEOUT,
  shutdown_error: Lifecycle_State.SHUTDOWN_ERROR,
  off: Lifecycle_State.OFF,
} as const;

const UNAUTHORIZED = 401;
const FINAL_STATUSES: ReadonlySet<number> = new Set([400, UNAUTHORIZED, 404]);

/** "created" is not among them: it is the initial state of every agent. */
export type LifecycleState = keyof typeof STATES;

interface Lifecycle {
  readonly state: LifecycleState;
  readonly atMs: number;
}

export interface ControlSessionOptions {
  readonly deployment: Deployment;
  readonly token: string;
  readonly version: string;
  readonly logger: Logger;
  /** Called with every manifest; returns the node for this control connection. */
  readonly onManifest: (manifest: Manifest) => Promise<TailnetNode>;
  readonly onBanners: (banners: readonly string[]) => void;
  /** Directory of the manifest, expanded for this machine. */
  readonly expandDirectory: (directory: string) => string;
  /** Traffic and sessions since the last call. */
  readonly takeStats: () => StatsReport;
  /** Further reports over each connection. */
  readonly reports: Reports;
  /** Longest pause before the control plane is dialled again. */
  readonly redialLimitMs?: number;
}

interface Reports {
  /** Whether something should still be sent before the agent stops. */
  readonly unsent: boolean;
  /** Reports until the signal aborts; a rejection ends the connection. */
  send(rpc: RpcSession, signal: AbortSignal): readonly Promise<void>[];
}

export class ControlSession {
  readonly #options: ControlSessionOptions;
  /** Lifecycle states not reported yet, oldest first: each is reported once, in order. */
  readonly #lifecycle: Lifecycle[] = [];
  /** The state that was reported last: every connection begins with it. */
  #lifecycleReported: Lifecycle | undefined;
  readonly #lifecycleAdded = new Bell();
  #session: TailnetSession | undefined;
  #connection: RpcConnection | undefined;
  /** The node built from the last manifest. */
  #node: TailnetNode | undefined;
  #leaving = false;
  #loggedFailure: string | undefined;
  #everConnected = false;

  constructor(options: ControlSessionOptions) {
    this.#options = options;
  }

  setLifecycle(state: LifecycleState): void {
    this.#lifecycle.push({ state, atMs: Date.now() });
    this.#lifecycleAdded.ring();
  }

  /** Runs until aborted. Rejects only when retrying cannot help: the token is refused or the version unsupported. */
  async run(signal: AbortSignal): Promise<void> {
    const redial = new Redial({ limitMs: this.#options.redialLimitMs ?? REDIAL_LIMIT_MS });
    while (!signal.aborted) {
      let pauseMs = 0;
      try {
        await this.#connect(signal, () => redial.opened(performance.now())).finally(() => {
          pauseMs = redial.ended(performance.now());
        });
      } catch (error) {
        if (signal.aborted || this.#leaving) return;
        // A token that was accepted before may be accepted again, for example when a stopped workspace is started.
        if (isFinal(error) && !this.#everConnected) throw error;
        // With the token, connected clients lost their right to this workspace, and no other message will say so.
        if (isTokenRefusal(error)) this.#node?.expelPeers();
        this.#logFailure(messageOf(error));
        if (error instanceof ClientError && error.retryAfterMs !== undefined)
          await sleep(error.retryAfterMs, signal).catch(() => undefined); // aborted: the loop condition ends it
      }
      await sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop condition ends it
    }
  }

  /** Logs each reason once; repeats of the same reason add nothing. */
  #logFailure(error: string): void {
    const level = error === this.#loggedFailure ? "debug" : "warn";
    this.#loggedFailure = error;
    this.#options.logger.log(level, "control plane connection failed, trying again", { error });
  }

  /** Reports that the agent is stopping and leaves the network, within a few seconds at most. */
  async leave(limitMs: number): Promise<void> {
    this.#leaving = true;
    const limit = new Promise<void>((resolve) => setTimeout(resolve, limitMs).unref());
    const goodbye = async (): Promise<void> => {
      while ((this.#lifecycle.length > 0 || this.#options.reports.unsent) && this.#connection !== undefined)
        await sleep(20, AbortSignal.timeout(limitMs));
      await this.#session?.leave();
      await this.#connection?.close();
    };
    await Promise.race([
      limit,
      goodbye().catch((error: unknown) =>
        this.#options.logger.log("debug", "graceful disconnect failed", { error: messageOf(error) }),
      ),
    ]);
  }

  async #connect(signal: AbortSignal, onOpened: () => void): Promise<void> {
    const { deployment, logger } = this.#options;
    const connection = await dialRpc(deployment, RPC_PATH, {
      query: { version: AGENT_NEEDED_VERSION },
      signal,
      cookie: `coder_session_token=${this.#options.token}`,
      onDoubt: () => this.#node?.doubt(),
      onHeard: () => this.#node?.awake(),
    });
    onOpened();
    const over = new AbortController();
    const ended = AbortSignal.any([signal, over.signal]);
    this.#connection = connection;
    this.#node?.doubt();
    let node: TailnetNode | undefined;
    let stopListening = (): void => undefined;
    try {
      const { rpc } = connection;
      const first = <Answer>(what: string, call: (limit: AbortSignal) => Promise<Answer>): Promise<Answer> =>
        answeredWithin(START_LIMIT_MS, what, call, signal);
      const manifest = await first("GetManifest", (limit) =>
        rpc.unary(Agent.method.getManifest, {}, { signal: limit }),
      );
      node = await this.#options.onManifest(manifest);
      this.#node = node;
      const startup = {
        version: this.#options.version,
        expandedDirectory: this.#options.expandDirectory(manifest.directory),
        subsystems: [],
      };
      await first("UpdateStartup", (limit) => rpc.unary(Agent.method.updateStartup, { startup }, { signal: limit }));
      this.#everConnected = true;
      this.#loggedFailure = undefined;
      logger.log("info", "connected to the control plane", {
        workspace: manifest.workspaceName,
        agent: manifest.agentName,
      });
      stopListening = node.on((event) => {
        if (event.kind === "moved") connection.abandon();
      });
      this.#session = new TailnetSession({ rpc: connection.rpc, node, destinations: [], announcesReady: true, logger });
      await Promise.race([
        this.#session.run(),
        connection.closed.then((reason) => {
          throw reason ?? new Error("the control plane closed the connection");
        }),
        this.#reportLifecycle(rpc, ended),
        this.#reportStats(rpc, ended),
        this.#fetchBanners(rpc, ended),
        ...this.#options.reports.send(rpc, ended),
      ]);
    } finally {
      stopListening();
      node?.coordinationLost();
      over.abort();
      this.#session = undefined;
      this.#connection = undefined;
      await connection.close();
    }
  }

  async #reportLifecycle(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    const report = ({ state, atMs }: Lifecycle) =>
      rpc.unary(
        Agent.method.updateLifecycle,
        { lifecycle: { state: STATES[state], changedAt: timestampFromMs(atMs) } },
        { signal },
      );
    // Another agent with the same token may have connected in between and reported its shutdown.
    if (this.#lifecycleReported !== undefined) await report(this.#lifecycleReported);
    while (!signal.aborted) {
      const next = this.#lifecycle[0];
      if (next === undefined) {
        await this.#lifecycleAdded.next(signal);
        continue;
      }
      await report(next);
      this.#lifecycleReported = next;
      this.#lifecycle.shift();
    }
  }

  async #reportStats(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    // The first report carries nothing and only asks for the interval.
    let answer = await rpc.unary(Agent.method.updateStats, {}, { signal });
    while (!signal.aborted) {
      const seconds = Number(answer.reportInterval?.seconds ?? 0n) + (answer.reportInterval?.nanos ?? 0) / 1e9;
      await sleep(Math.max(MIN_REPORT_INTERVAL_MS, seconds * 1000), signal);
      answer = await rpc.unary(
        Agent.method.updateStats,
        { stats: create(StatsSchema, this.#options.takeStats()) },
        { signal },
      );
    }
  }

  async #fetchBanners(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const answer = await rpc.unary(Agent.method.getAnnouncementBanners, {}, { signal });
      this.#options.onBanners(
        answer.announcementBanners.filter((banner) => banner.enabled).map((banner) => banner.message),
      );
      await sleep(BANNER_INTERVAL_MS, signal);
    }
  }
}

/**
 * Whether the control plane itself refused the token. Answers of intermediaries, such as a load balancer during a rollout or a
 * captive portal, carry no status and do not count.
 */
function isTokenRefusal(error: unknown): boolean {
  return error instanceof ClientError && error.status === UNAUTHORIZED;
}

/**
 * Whether retrying is pointless. If the token is right but must not be used now, the deployment names a time for the next
 * attempt.
 */
function isFinal(error: unknown): boolean {
  return error instanceof ClientError && FINAL_STATUSES.has(error.status ?? 0) && error.retryAfterMs === undefined;
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const detail = error instanceof ClientError && error.detail !== undefined ? `: ${error.detail}` : "";
  return `${error.message}${detail}`;
}
