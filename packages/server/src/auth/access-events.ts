/** A change that ends access. Published once the change is durable. */
export type AccessEvent =
  | { readonly kind: "key-revoked"; readonly keyId: string; readonly userId: string }
  | { readonly kind: "user-gone"; readonly userId: string }
  | { readonly kind: "role-changed"; readonly userId: string }
  | { readonly kind: "workspace-deleted"; readonly workspaceId: string; readonly agentIds: readonly string[] }
  | { readonly kind: "workspace-stopped"; readonly workspaceId: string; readonly agentIds: readonly string[] }
  | { readonly kind: "agent-token-rotated"; readonly agentId: string }
  /** A workspace proxy was deleted, or its token replaced. */
  | { readonly kind: "proxy-revoked"; readonly proxyId: string }
  /** From now on only browsers may connect as this user, to these agents, or at all. */
  | {
      readonly kind: "browser-only";
      readonly userId?: string;
      readonly agentIds?: readonly string[];
      /** Applies to every connection except those to exempt agents: see ConnectionPolicies.exemptAgents. */
      readonly everyone?: true;
    };

/** A moment in the sequence of events of this process. */
export type AccessMoment = number & { readonly moment: unique symbol };

/** Events that are remembered. */
const MAX_REMEMBERED = 1_024;

export type AccessListener = (event: AccessEvent, outboxId?: string) => void;

/**
 * Notifies holders of open sockets of changes that may end them. Listeners run synchronously in the order they were added; one
 * that throws is a bug and does not keep the others from running.
 */
export class AccessEvents {
  readonly #listeners = new Set<AccessListener>();
  /** The latest events, in a ring. */
  readonly #remembered: AccessEvent[] = [];
  #published = 0;

  /** Take it before a decision is begun; then {@link since} has what the decision may have missed. */
  get moment(): AccessMoment {
    return this.#published as AccessMoment;
  }

  /** The events after a moment; undefined if they are no longer remembered. */
  since(moment: AccessMoment): readonly AccessEvent[] | undefined {
    const missed = this.#published - moment;
    if (missed > MAX_REMEMBERED) return undefined;
    return Array.from({ length: missed }, (_, index) => this.#remembered[(moment + index) % MAX_REMEMBERED]!);
  }

  /** Returns a function that removes the listener. */
  subscribe(listener: AccessListener): () => void {
    // A separate object for each call, so that a function that is added twice is called twice.
    const entry: AccessListener = (event, outboxId) => listener(event, outboxId);
    this.#listeners.add(entry);
    return () => this.#listeners.delete(entry);
  }

  /** @param outboxId Id of the row that keeps the event until the other servers can read it; see AccessChanges. */
  publish(event: AccessEvent, outboxId?: string): void {
    this.#remembered[this.#published++ % MAX_REMEMBERED] = event;
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

/** The rights that an open socket depends on. */
export interface AccessHolder {
  readonly userId: string;
  readonly keyId: string;
  /** Set if the socket concerns one workspace or agent. */
  readonly workspaceId?: string | undefined;
  readonly agentId?: string | undefined;
}

/** The rights of an open socket, and when the decision about them was begun. */
export interface DecidedHolder extends AccessHolder {
  readonly decidedAfter: AccessMoment;
}

/** Whether `event` restricts the user's connections to the agent to browsers, unless the agent is exempt. */
export function becomesBrowserOnly(event: AccessEvent, holder: { userId: string; agentId: string }): boolean {
  if (event.kind !== "browser-only") return false;
  return event.everyone === true || event.userId === holder.userId || event.agentIds?.includes(holder.agentId) === true;
}

/**
 * Whether `event` ends the access that a user's socket depends on. Sockets that watch a workspace outlive its stop, and web
 * terminals outlive a restriction to browsers.
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

/** Whether `event` ends an agent's own session, which depends on its owner's account. */
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
