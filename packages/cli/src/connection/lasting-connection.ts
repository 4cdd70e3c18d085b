/**
 * A connection to a workspace that outlives the agent it was made to. When the workspace is rebuilt, or is stopped and started
 * again, it connects to the new agent. What happens in between is reported, so that the user knows why nothing moves.
 */

import { Backoff, sleep } from "coder-client/base/backoff";
import { ClientError } from "coder-client/base/client-error";
import type { ConnectedWorkspace } from "coder-client/connection/connect";
import { watchLiveness } from "coder-client/connection/liveness";
import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { Deployment } from "coder-client/rest/deployment";
import { watchWorkspace } from "coder-client/rest/workspace-watch";
import { chooseAgent, type WorkspaceRef } from "coder-client/rest/workspaces";
import { abortable, onAbort } from "wg-userspace/async/abort";
import type { Logger } from "wg-userspace/base/ports";
import { UserError } from "../errors/user-error.ts";

/** A dial that finds no connection waits this long for one. */
const DIAL_WAIT_MS = 30_000;
const ASK_AFTER_MS = 5_000;
const SILENT_AFTER_MS = 10_000;
/** Failures that another attempt cannot change. */
const FINAL_CODES: ReadonlySet<string> = new Set([
  "ERR_UNAUTHORIZED",
  "ERR_FORBIDDEN",
  "ERR_NOT_FOUND",
  "ERR_NOT_LOGGED_IN",
  "ERR_BROWSER_ONLY",
]);

export type LinkEvent =
  /** The agent has not answered for this long. Connections through it are kept. */
  | { readonly kind: "silent"; readonly forMs: number }
  | { readonly kind: "heard"; readonly afterMs: number }
  /** The workspace was stopped. */
  | { readonly kind: "stopped" }
  /** The workspace has another agent now; connections to the old one have ended. */
  | { readonly kind: "replaced" }
  | { readonly kind: "connected"; readonly connection: WorkspaceConnection };

export interface LastingConnectionOptions {
  readonly first: ConnectedWorkspace;
  /** Name of the wanted agent; undefined when the workspace has only one. */
  readonly agentName: string | undefined;
  readonly deployment: Deployment;
  /** Looks the workspace up and connects, waiting for its agent without a limit. */
  readonly connect: (signal: AbortSignal) => Promise<ConnectedWorkspace>;
  readonly onEvent: (event: LinkEvent) => void;
  readonly logger: Logger;
}

export class LastingConnection implements AsyncDisposable {
  /** Never resolves. Rejects when no further connection is possible: the workspace or the right to use it is gone. */
  readonly failed: Promise<never>;
  readonly #options: LastingConnectionOptions;
  readonly #stop = new AbortController();
  readonly #fail: (error: unknown) => void;
  readonly #running: Promise<unknown>;
  #agentId: string;
  #current: WorkspaceConnection | undefined;
  #stopLiveness: () => void = () => undefined;
  #waiting: PromiseWithResolvers<WorkspaceConnection> = Promise.withResolvers();
  #reconnecting = false;
  #stopped = false;

  constructor(options: LastingConnectionOptions) {
    this.#options = options;
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined); // the rejection is handled by awaiters, if any
    this.failed = failed.promise;
    this.#fail = (error) => {
      failed.reject(error);
      this.#waiting.promise.catch(() => undefined);
      this.#waiting.reject(error);
    };
    this.#agentId = options.first.agent.id;
    this.#use(options.first);
    this.#running = watchWorkspace({
      deployment: options.deployment,
      workspaceId: options.first.workspace.id,
      signal: this.#stop.signal,
      logger: options.logger,
      onWorkspace: (workspace) => this.#workspaceChanged(workspace),
    }).catch((error: unknown) => {
      // A client whose token is no longer accepted may still be connected; the connection reports when it ends.
      if (error instanceof ClientError && (error.status === 401 || error.status === 403))
        options.logger.log("warn", "the workspace is not watched any more", { error: error.message });
      else this.#fail(error);
    });
  }

  /** The present connection; undefined while there is none. */
  get current(): WorkspaceConnection | undefined {
    return this.#current;
  }

  /** The connection; waits up to 30 s for one. Rejects with ERR_NO_WORKSPACE_CONNECTION or the reason of `failed`. */
  async connection(signal: AbortSignal): Promise<WorkspaceConnection> {
    if (this.#current !== undefined) return this.#current;
    return await abortable(signal, (resolve, reject) => {
      const late = setTimeout(() => {
        const state = this.#stopped ? "is stopped" : "is not connected at present";
        reject(new UserError(`The workspace ${state}`, { code: "ERR_NO_WORKSPACE_CONNECTION" }));
      }, DIAL_WAIT_MS);
      this.#waiting.promise.then(resolve, reject);
      return () => clearTimeout(late);
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#stopLiveness();
    await this.#running;
    await this.#current?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #use({ connection, agent }: ConnectedWorkspace): void {
    this.#agentId = agent.id;
    this.#current = connection;
    this.#waiting.resolve(connection);
    const { accessSignal } = connection;
    onAbort(accessSignal, () => this.#fail(accessSignal.reason));
    this.#stopLiveness = watchLiveness({
      target: {
        heardAgeMs: () => connection.pathReport().lastHeardAgeMs,
        ping: (options) => connection.ping(options),
      },
      askAfterMs: ASK_AFTER_MS,
      silentAfterMs: SILENT_AFTER_MS,
      onSilent: (forMs) => this.#options.onEvent({ kind: "silent", forMs }),
      onHeard: (afterMs) => this.#options.onEvent({ kind: "heard", afterMs }),
    });
  }

  #workspaceChanged(workspace: WorkspaceRef): void {
    if (this.#stop.signal.aborted) return;
    if (workspace.buildStatus === "deleted") {
      this.#fail(new UserError(`Workspace "${workspace.name}" was deleted`, { code: "ERR_WORKSPACE_DELETED" }));
      return;
    }
    if (workspace.buildStatus === "stopped") {
      if (!this.#stopped) this.#options.onEvent({ kind: "stopped" });
      this.#stopped = true;
      return;
    }
    if (workspace.buildStatus !== "running") return;
    const agentId = agentIdOf(workspace, this.#options.agentName);
    this.#stopped = false;
    // When the same agent starts again, the connection itself follows it: its address is the same.
    if (agentId === undefined || agentId === this.#agentId || this.#reconnecting) return;
    this.#reconnecting = true;
    this.#options.onEvent({ kind: "replaced" });
    this.#reconnect().catch((error: unknown) => {
      if (!this.#stop.signal.aborted) this.#fail(error);
    });
  }

  async #reconnect(): Promise<void> {
    const { signal } = this.#stop;
    const old = this.#current;
    this.#stopLiveness();
    this.#current = undefined;
    this.#waiting = Promise.withResolvers();
    this.#waiting.promise.catch(() => undefined); // the rejection is handled by awaiters, if any
    await old?.close();
    const backoff = new Backoff({ firstMs: 500, limitMs: 10_000 });
    for (;;) {
      try {
        const connected = await this.#options.connect(signal);
        if (signal.aborted) {
          await connected.connection.close();
          return;
        }
        this.#reconnecting = false;
        this.#use(connected);
        this.#options.onEvent({ kind: "connected", connection: connected.connection });
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ClientError && FINAL_CODES.has(error.code)) throw error;
        this.#options.logger.log("info", "not connected yet, trying again", { error: String(error) });
      }
      await sleep(backoff.next(), signal);
    }
  }
}

function agentIdOf(workspace: WorkspaceRef, name: string | undefined): string | undefined {
  try {
    return chooseAgent(workspace, name).id;
  } catch {
    return undefined; // the build has no agents yet; the next event has them
  }
}
