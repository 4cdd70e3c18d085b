/** The control connection of one client: redialled with the same peer id until it is closed. */
import { DrpcError } from "coder-protocol/drpc/async";
import { Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import { TAILNET_API_VERSION } from "coder-protocol/version";
import { sleep } from "wg-userspace/async/abort";
import { type Logger, silentLogger } from "wg-userspace/base/ports";
import { ClientError } from "../base/client-error.ts";
import { Redial } from "../base/redial.ts";
import type { TailnetNode } from "../node/tailnet-node.ts";
import type { Deployment } from "../rest/deployment.ts";
import { dialRpc, type RpcConnection } from "./rpc-connection.ts";
import { TailnetSession } from "./tailnet-session.ts";
import type { TelemetryEventInit } from "./telemetry.ts";

const UNIMPLEMENTED = 12;
const DEFAULT_REFRESH_MS = 30 * 60_000;
/** HTTP statuses of the first dial that another attempt cannot change. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([400, 401, 403, 404, 409, 500]);

const REFUSALS: ReadonlySet<number> = new Set([401, 403, 404]);

export interface CoordinationOptions {
  readonly deployment: Deployment;
  /** The agent to reach. Without one the coordinator only learns our key, which its relays then accept. */
  readonly agentId?: string;
  /** Path of the Tailnet service; absent for the one that users have. */
  readonly path?: string | undefined;
  readonly node: TailnetNode;
  /**
   * Called when the deployment refuses us after having admitted us. Resolves with true when that is final. Otherwise the attempts
   * continue, because a working tunnel needs no coordinator.
   */
  readonly onRefused?: (error: ClientError) => Promise<boolean>;
  /** Rights to the agent may have ended: the deployment says so, or a control connection ended, for whatever reason. */
  readonly onDoubt?: (() => void) | undefined;
  readonly logger?: Logger | undefined;
}

export class Coordination {
  /** Never resolves. Rejects when the first dial is refused for a permanent reason. */
  readonly failed: Promise<never>;
  readonly #options: CoordinationOptions;
  readonly #logger: Logger;
  readonly #stop = new AbortController();
  readonly #fail: (error: unknown) => void;
  #running: Promise<void> = Promise.resolve();
  #session: TailnetSession | undefined;
  #connection: RpcConnection | undefined;
  #resumeToken: string | undefined;
  #lastError: Error | undefined;
  /** The coordinator itself ended the last connection, with a reason. */
  #dismissed = false;
  /** Resolved while there is a connection. */
  #connected = Promise.withResolvers<void>();
  #telemetryUnwanted = false;

  constructor(options: CoordinationOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => undefined); // rejection is handled by awaiters, if any
    this.failed = promise;
    this.#fail = reject;
  }

  /** Why there is no control connection, as far as is known. */
  get lastError(): Error | undefined {
    return this.#lastError;
  }

  /** Resolves once there is a control connection, which may be at once or after a redial. */
  whenConnected(): Promise<void> {
    return this.#connected.promise;
  }

  start(): void {
    this.#running = this.#run();
  }

  /**
   * Sends one telemetry event if there is a connection and the server accepts them. Never rejects, since a lost report does no
   * harm.
   */
  async report(event: TelemetryEventInit): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined || this.#telemetryUnwanted) return;
    try {
      await connection.rpc.unary(Tailnet.method.postTelemetry, { events: [event] });
    } catch (error) {
      if (error instanceof DrpcError && error.code === UNIMPLEMENTED) this.#telemetryUnwanted = true;
      else this.#logger.log("debug", "telemetry not sent", { error: String(error) });
    }
  }

  /** Sends a disconnect message and ends. */
  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return this.#running;
    await this.#session
      ?.leave()
      .catch((error: unknown) => this.#logger.log("debug", "graceful disconnect failed", { error: String(error) }));
    this.#stop.abort();
    await this.#connection?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const redial = new Redial({ limitMs: 10_000 });
    let connectedOnce = false;
    while (!signal.aborted) {
      let pauseMs = 0;
      try {
        await this.#connect(signal, () => {
          redial.opened(performance.now());
          connectedOnce = true;
          this.#lastError = undefined;
          this.#connected.resolve();
        }).finally(() => {
          // The next attempt is not delayed after a dismissal: it may be refused with the reason why sessions end, for which the
          // user waits.
          pauseMs = redial.ended(performance.now(), this.#dismissed);
        });
      } catch (error) {
        if (signal.aborted) break;
        this.#lastError = error as Error;
        if (this.#resumeToken !== undefined && isResumeTokenRefusal(error)) {
          this.#resumeToken = undefined;
          continue;
        }
        if (!connectedOnce && isFinal(error)) {
          this.#fail(error);
          return;
        }
        if (connectedOnce && isRefusal(error) && (await this.#options.onRefused?.(error)) === true) return;
        this.#logger.log("debug", "control connection ended, dialing again", { error: (error as Error).message });
        if (error instanceof ClientError && error.retryable) this.#options.deployment.warn(error);
        await sleep(retryAfterOf(error), signal).catch(() => undefined);
      }
      await sleep(pauseMs, signal).catch(() => undefined); // aborted: the loop's condition ends it
    }
  }

  async #connect(signal: AbortSignal, onConnected: () => void): Promise<void> {
    const { deployment, agentId, node } = this.#options;
    this.#dismissed = false;
    const path = this.#options.path ?? pathOf(agentId);
    const connection = await dialRpc(deployment, path, {
      query: { version: TAILNET_API_VERSION, resume_token: this.#resumeToken },
      signal,
      onDoubt: () => node.doubt(),
    });
    this.#connection = connection;
    node.doubt();
    const over = new AbortController();
    const stopListening = node.on((event) => {
      if (event.kind === "moved") connection.abandon();
    });
    try {
      onConnected();
      const session = new TailnetSession({
        rpc: connection.rpc,
        node,
        destinations: agentId === undefined ? [] : [agentId],
        announcesReady: false,
        onDoubtedRights: (id) => void (id === agentId && this.#options.onDoubt?.()),
        logger: this.#logger,
      });
      this.#session = session;
      const refreshing = this.#refreshResumeToken(connection, AbortSignal.any([signal, over.signal]));
      refreshing.catch((error: unknown) => this.#logger.log("debug", "no resume token", { error: String(error) }));
      await Promise.race([
        session.run(),
        connection.closed.then((reason) => {
          throw reason ?? new Error("the server closed the control connection");
        }),
      ]);
    } finally {
      stopListening();
      over.abort();
      this.#dismissed = this.#session?.isDismissed === true;
      this.#connected = Promise.withResolvers();
      this.#session = undefined;
      this.#connection = undefined;
      node.coordinationLost();
      this.#options.onDoubt?.();
      await connection.close();
    }
  }

  /** Servers without resume tokens are fine: the next connection is then a new peer. */
  async #refreshResumeToken(connection: RpcConnection, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      let waitMs = DEFAULT_REFRESH_MS;
      try {
        const answer = await connection.rpc.unary(Tailnet.method.refreshResumeToken, {}, { signal });
        if (answer.token !== "") this.#resumeToken = answer.token;
        const refreshMs = Number(answer.refreshIn?.seconds ?? 0n) * 1000 + (answer.refreshIn?.nanos ?? 0) / 1e6;
        if (refreshMs > 0) waitMs = refreshMs;
      } catch (error) {
        if (error instanceof DrpcError && error.code === UNIMPLEMENTED) return;
        throw error;
      }
      await sleep(Math.min(waitMs, 2 ** 31 - 1), signal);
    }
  }
}

function pathOf(agentId: string | undefined): string {
  return agentId === undefined
    ? "/api/v2/tailnet"
    : `/api/v2/workspaceagents/${encodeURIComponent(agentId)}/coordinate`;
}

/** Whether the deployment itself refused, or no WebSocket gets through. */
function isFinal(error: unknown): boolean {
  return (
    error instanceof ClientError && (FINAL_STATUSES.has(error.status ?? 0) || error.code === "ERR_UPGRADE_STRIPPED")
  );
}

/** Whether the permission or the agent is gone, or only browsers may connect to it now. */
function isRefusal(error: unknown): error is ClientError {
  return error instanceof ClientError && (error.code === "ERR_BROWSER_ONLY" || REFUSALS.has(error.status ?? 0));
}

/** A load balancer or gateway in front of the deployment may ask for a pause. */
function retryAfterOf(error: unknown): number {
  return error instanceof ClientError ? (error.retryAfterMs ?? 0) : 0;
}

function isResumeTokenRefusal(error: unknown): boolean {
  return (
    error instanceof ClientError &&
    error.status === 401 &&
    error.validations.some((validation) => validation.field === "resume_token")
  );
}
