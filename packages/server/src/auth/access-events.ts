/** Something that ends access somebody had. Published after the change is durable. */
export type AccessEvent =
  | { readonly kind: "key-revoked"; readonly keyId: string; readonly userId: string }
  | { readonly kind: "user-gone"; readonly userId: string }
  | { readonly kind: "role-changed"; readonly userId: string }
  | { readonly kind: "workspace-deleted"; readonly workspaceId: string; readonly agentIds: readonly string[] }
  | { readonly kind: "workspace-stopped"; readonly workspaceId: string; readonly agentIds: readonly string[] }
  | { readonly kind: "agent-token-rotated"; readonly agentId: string }
  /** A workspace proxy was deleted, or its token replaced. */
  | { readonly kind: "proxy-revoked"; readonly proxyId: string }
  /** Connections of the user, or to the agents, are left to browsers from now on. */
  | { readonly kind: "browser-only"; readonly userId?: string; readonly agentIds?: readonly string[] };

export type AccessListener = (event: AccessEvent, outboxId?: string) => void;

/**
 * Tells holders of open sockets when to close them. Listeners run synchronously in the order they were added; one
 * that throws is a bug and does not keep the others from running.
 */
export class AccessEvents {
  readonly #listeners = new Set<AccessListener>();

  /** Returns the function that stops listening. */
  subscribe(listener: AccessListener): () => void {
    // A wrapper of its own, so that adding one function twice counts twice.
    const entry: AccessListener = (event, outboxId) => listener(event, outboxId);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** @param outboxId Of the row that keeps the event until the other servers can read it; see AccessChanges. */
  publish(event: AccessEvent, outboxId?: string): void {
    const failures: unknown[] = [];
    for (const listener of [...this.#listeners]) {
      try {
        listener(event, outboxId);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, `${failures.length} listeners of ${event.kind} failed`);
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }
}

/** Whose access an open socket rests on. */
export interface AccessHolder {
  readonly userId: string;
  readonly keyId: string;
  /** Set when the socket concerns one workspace or agent. */
  readonly workspaceId?: string | undefined;
  readonly agentId?: string | undefined;
}

/** Whether `event` leaves the user's connections to the agent to browsers. */
export function becomesBrowserOnly(event: AccessEvent, holder: { userId: string; agentId: string }): boolean {
  if (event.kind !== "browser-only") return false;
  return event.userId === holder.userId || event.agentIds?.includes(holder.agentId) === true;
}

/**
 * Whether `event` takes away what a user's socket rests on. A stopped workspace keeps its watchers, and one that is left to
 * browsers its web terminals.
 */
export function endsAccess(event: AccessEvent, holder: AccessHolder): boolean {
  switch (event.kind) {
    case "key-revoked":
      return event.keyId === holder.keyId;
    case "user-gone":
    case "role-changed":
      return event.userId === holder.userId;
    case "workspace-deleted":
      return (
        event.workspaceId === holder.workspaceId ||
        (holder.agentId !== undefined && event.agentIds.includes(holder.agentId))
      );
    case "workspace-stopped":
    case "agent-token-rotated":
    case "proxy-revoked":
    case "browser-only":
      return false;
  }
}

/** Whether `event` takes away an agent's own session, which goes with its owner's account. */
export function endsAgentSession(event: AccessEvent, holder: { agentId: string; ownerId: string }): boolean {
  switch (event.kind) {
    case "workspace-deleted":
    case "workspace-stopped":
      return event.agentIds.includes(holder.agentId);
    case "agent-token-rotated":
      return event.agentId === holder.agentId;
    case "user-gone":
      return event.userId === holder.ownerId;
    case "key-revoked":
    case "role-changed":
    case "proxy-revoked":
    case "browser-only":
      return false;
  }
}
