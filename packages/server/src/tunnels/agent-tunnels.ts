/**
 * The server's own connections to workspaces, for what browsers cannot reach themselves. A tunnel is opened like that of any
 * client, at the deployment's control plane and with the credentials on whose behalf it is opened, so it can reach nothing that
 * they do not permit.
 */

import type { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import type { Deployment } from "coder-client/rest/deployment";
import { onAbort, orAborted } from "wg-userspace/async/abort";
import { DomainError } from "../base/domain-error.ts";

const DEFAULT_CONNECT_TIMEOUT_MS = 20_000;
const MAX_TUNNELS = 256;
/** Tunnels for one user, so that a user with many logins or workspaces leaves room for others. */
const MAX_TUNNELS_PER_USER = 64;
/** An unused tunnel is kept for the next request, because pages send one every few seconds. */
const DEFAULT_LINGER_MS = 30_000;

/** On whose behalf a tunnel is opened, and with which credentials. */
export interface TunnelRequest {
  readonly agentId: string;
  /** The key to which the token belongs: terminals of one login share a tunnel, those of different logins never do. */
  readonly keyId: string;
  readonly token: string;
  /** The user to whose share the tunnel is counted; absent: to none. */
  readonly userId?: string | undefined;
}

export interface Tunnel {
  readonly connection: WorkspaceConnection;
  /** Releases the tunnel; it is closed some time after its last user has released it. Call once. */
  release(): void;
}

export interface AgentTunnelsOptions {
  /** The deployment as reached with the credentials of a tunnel; called for each tunnel. */
  readonly deployment: (token: string) => Deployment;
  readonly onError: (error: unknown) => void;
  readonly lingerMs?: number;
  readonly connectTimeoutMs?: number | undefined;
  /** The path of the Tailnet service for these credentials; absent: the path that users use. */
  readonly coordinatePath?: string;
  /**
   * Called when the right to the tunnels of an agent, or a right under which they are used, may have ended: the control plane
   * reported it, their control connection ended, or the agent was removed.
   */
  readonly onDoubt?: (agentId: string) => void;
  /** How agents are reached, if the credentials do not allow requesting it; absent: it is requested. */
  readonly connectionInfo?: () => Promise<unknown>;
}

interface Entry {
  readonly userId: string | undefined;
  readonly opening: Promise<WorkspaceConnection>;
  users: number;
  /** Set while the tunnel is unused. */
  lingering: NodeJS.Timeout | undefined;
}

export class AgentTunnels {
  readonly #options: AgentTunnelsOptions;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();
  readonly #stop = new AbortController();

  constructor(options: AgentTunnelsOptions) {
    this.#options = options;
  }

  /** Rejects as {@link WorkspaceConnection.open} does, or with DomainError "too-many" or "busy". */
  async acquire(request: TunnelRequest): Promise<Tunnel> {
    this.#stop.signal.throwIfAborted();
    const key = keyOf(request.keyId, request.agentId);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#makeRoom(request.userId);
      entry = { userId: request.userId, opening: this.#open(request), users: 0, lingering: undefined };
      this.#entries.set(key, entry);
      const opened = entry;
      opened.opening.then(
        (connection) => this.#endWithAccess(key, opened, connection),
        () => undefined, // it rejects below
      );
    }
    entry.users++;
    clearTimeout(entry.lingering);
    entry.lingering = undefined;
    try {
      const connection = await entry.opening;
      return { connection, release: () => this.#release(key, entry) };
    } catch (error) {
      this.#end(key, entry); // the next request tries again
      throw error;
    }
  }

  /** Ends a tunnel that may no longer be used; the next request gets a new one. */
  end({ keyId, agentId }: Pick<TunnelRequest, "keyId" | "agentId">): void {
    const key = keyOf(keyId, agentId);
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#end(key, entry);
  }

  async close(): Promise<void> {
    this.#stop.abort(new Error("the server is shutting down"));
    for (const [key, entry] of this.#entries) this.#end(key, entry);
    await Promise.all(this.#closing);
  }

  async #open({ agentId, token }: TunnelRequest): Promise<WorkspaceConnection> {
    // This loads half of the network engine, so it is done for the first browser. Closing does not wait for it.
    const { WorkspaceConnection } = await orAborted(
      import("coder-client/connection/workspace-connection"),
      this.#stop.signal,
    );
    const { deployment, connectionInfo, coordinatePath, onDoubt } = this.#options;
    const connection = await WorkspaceConnection.open({
      deployment: deployment(token),
      agentId,
      connectionInfo: connectionInfo?.(),
      coordinatePath,
      onAccessDoubted: () => onDoubt?.(agentId),
      signal: this.#stop.signal,
      timeoutMs: this.#options.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
    });
    connection.on((event) => {
      if (event.kind === "peer-removed" && event.id === agentId) onDoubt?.(agentId);
    });
    return connection;
  }

  /** Removes a tunnel whose right has ended, so that the next request does not get it. */
  #endWithAccess(key: string, entry: Entry, { accessSignal }: WorkspaceConnection): void {
    onAbort(accessSignal, () => this.#end(key, entry));
  }

  #release(key: string, entry: Entry): void {
    if (--entry.users > 0) return;
    entry.lingering = setTimeout(() => this.#end(key, entry), this.#options.lingerMs ?? DEFAULT_LINGER_MS).unref();
  }

  /** Throws DomainError "too-many" or "busy". */
  #makeRoom(userId: string | undefined): void {
    const ofUser = (): [string, Entry][] => [...this.#entries].filter(([, entry]) => entry.userId === userId);
    if (userId !== undefined && ofUser().length >= MAX_TUNNELS_PER_USER) {
      this.#endUnused(ofUser());
      if (ofUser().length >= MAX_TUNNELS_PER_USER)
        throw new DomainError(
          "too-many",
          `Too many workspaces are open in browsers for this account, at most ${MAX_TUNNELS_PER_USER}.`,
          { retryAfterSeconds: 10 },
        );
    }
    if (this.#entries.size < MAX_TUNNELS) return;
    this.#endUnused(this.#entries);
    if (this.#entries.size >= MAX_TUNNELS)
      throw new DomainError("busy", "Too many workspaces are open in browsers at this server.", {
        retryAfterSeconds: 10,
      });
  }

  #endUnused(entries: Iterable<[string, Entry]>): void {
    for (const [key, entry] of entries) if (entry.users === 0) this.#end(key, entry);
  }

  #end(key: string, entry: Entry): void {
    clearTimeout(entry.lingering);
    if (this.#entries.get(key) !== entry) return;
    this.#entries.delete(key);
    const closing = entry.opening.then(
      (connection) => connection.close().catch(this.#options.onError),
      () => undefined, // the tunnel never opened: `acquire` has rejected
    );
    this.#closing.add(closing);
    void closing.then(() => this.#closing.delete(closing));
  }
}

function keyOf(keyId: string, agentId: string): string {
  return `${keyId} ${agentId}`;
}
