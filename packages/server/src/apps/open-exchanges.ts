/** Requests and WebSockets in progress. Each is ended when the right that it depends on ends. */
import type { AccessEvent } from "../auth/access-events.ts";
import type { OpenStreams } from "../base/open-streams.ts";
import type { AppDecision } from "./decision.ts";

/** How often exchanges are swept: those whose end is known in advance, and those that are new. */
const SWEEP_MS = 1_000;
/**
 * A change that arrives while a decision is being made finds no exchange to end, so changes are remembered for longer than a decision
 * takes, and a new exchange that one of them concerns is rechecked at once.
 */
const REMEMBER_MS = 60_000;
const MAX_REMEMBERED = 1_024;
/**
 * An exchange that is still open at this sweep is rechecked once, in case its decision took even longer or too many changes came.
 * Most requests are over by then.
 */
const RECHECK_AT_SWEEP = 2;

type Change = AccessEvent | { readonly kind: "workspace-changed"; readonly workspaceId: string };

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
  /** The oldest first. */
  readonly #remembered: { readonly change: Change; readonly at: number }[] = [];
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
    this.#forgetOld();
    if (this.#remembered.some(({ change }) => concerns(change, exchange.decision))) this.#recheck(exchange);
    return () => {
      this.#open.delete(exchange);
      leave();
    };
  }

  /** Rechecks the exchanges that an event may have ended. */
  onAccessEvent(event: AccessEvent): void {
    this.#onChange(event);
  }

  /** Rechecks the exchanges of a workspace that changed, or one of whose shares changed. */
  onWorkspaceChange(workspaceId: string): void {
    this.#onChange({ kind: "workspace-changed", workspaceId });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #onChange(change: Change): void {
    for (const exchange of this.#open.keys()) if (concerns(change, exchange.decision)) this.#recheck(exchange);
    this.#remembered.push({ change, at: performance.now() });
    if (this.#remembered.length > MAX_REMEMBERED) this.#remembered.shift();
  }

  #forgetOld(): void {
    const since = performance.now() - REMEMBER_MS;
    const kept = this.#remembered.findIndex(({ at }) => at >= since);
    this.#remembered.splice(0, kept < 0 ? this.#remembered.length : kept);
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

function concerns(event: Change, { visitor, target }: AppDecision): boolean {
  switch (event.kind) {
    case "key-revoked":
      return event.keyId === visitor?.keyId;
    case "user-gone":
    case "role-changed":
      return event.userId === visitor?.userId || event.userId === target.ownerId;
    case "workspace-deleted":
    case "workspace-stopped":
    case "workspace-changed":
      return event.workspaceId === target.workspaceId;
    case "agent-token-rotated":
    case "proxy-revoked":
    case "browser-only":
      return false;
  }
}
