/** Requests and WebSockets in progress. Each is ended when the right that it depends on ends. */
import type { AccessEvent } from "../auth/access-events.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import type { AppDecision } from "./decision.ts";

/** How often exchanges are swept: those whose end is known in advance, and those that are new. */
const SWEEP_MS = 1_000;
/**
 * An exchange that is still open at this sweep is rechecked once. An event that arrived while its decision was being made found no
 * exchange to end, and an open WebSocket has no later check. Most requests are over by then.
 */
const RECHECK_AT_SWEEP = 2;

export interface OpenExchange {
  readonly decision: AppDecision;
  /** When the credentials or the share expire, whichever is first; undefined if neither does. */
  readonly endsAt: number | undefined;
  /** Whether the same decision would be made now. */
  stillHolds(): Promise<boolean>;
  end(): void;
}

export interface OpenExchangesOptions {
  readonly now: () => number;
  readonly streams: OpenStreams;
  readonly onError: (error: unknown) => void;
}

export class OpenExchanges {
  /** The number of sweeps that each exchange has seen. */
  readonly #open = new Map<OpenExchange, number>();
  readonly #options: OpenExchangesOptions;
  readonly #timer: NodeJS.Timeout;

  constructor(options: OpenExchangesOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** Returns a function that removes the exchange; call it when the exchange is over. */
  add(exchange: OpenExchange): () => void {
    this.#open.set(exchange, 0);
    const end = (): void => exchange.end();
    const leave = this.#options.streams.add({ end, destroy: end });
    return () => {
      this.#open.delete(exchange);
      leave();
    };
  }

  /** Rechecks the exchanges that an event may have ended. */
  onAccessEvent(event: AccessEvent): void {
    for (const exchange of this.#open.keys()) if (concerns(event, exchange.decision)) this.#recheck(exchange);
  }

  /** Rechecks the exchanges of a workspace that changed, or one of whose shares changed. */
  onWorkspaceChange(workspaceId: string): void {
    for (const exchange of this.#open.keys())
      if (exchange.decision.target.workspaceId === workspaceId) this.#recheck(exchange);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #sweep(): void {
    const at = this.#options.now();
    for (const [exchange, sweeps] of this.#open) {
      this.#open.set(exchange, sweeps + 1);
      const isOver = exchange.endsAt !== undefined && exchange.endsAt <= at;
      if (isOver || sweeps + 1 === RECHECK_AT_SWEEP) this.#recheck(exchange);
    }
  }

  #recheck(exchange: OpenExchange): void {
    exchange.stillHolds().then(
      (holds) => {
        if (!holds) exchange.end();
      },
      (error: unknown) => {
        this.#options.onError(error);
        exchange.end(); // a right that cannot be looked up counts as lost
      },
    );
  }
}

function concerns(event: AccessEvent, { visitor, target }: AppDecision): boolean {
  switch (event.kind) {
    case "key-revoked":
      return event.keyId === visitor?.keyId;
    case "user-gone":
    case "role-changed":
      return event.userId === visitor?.userId || event.userId === target.ownerId;
    case "workspace-deleted":
    case "workspace-stopped":
      return event.workspaceId === target.workspaceId;
    case "agent-token-rotated":
    case "proxy-revoked":
    case "browser-only":
      return false;
  }
}
