/**
 * What is open at this proxy by a right that the primary granted: terminals, requests and WebSockets of apps. The primary is
 * asked again for each once a minute, and at once when something casts doubt on it; its refusal is the end. While the primary
 * does not answer, what is open goes on for a while: the tunnel below needs no control plane, and an outage ends no sessions.
 */
import type { Instant } from "wg-userspace/base/instant";

/** A decision counts for this long. */
export const ASK_EVERY_MS = 60_000;
/** After a question that was not answered. */
const ASK_AGAIN_MS = 5_000;
/** As long as a relay serves clients that the primary does not confirm. */
const UNANSWERED_MS = 15 * 60_000;
const SWEEP_MS = 500;
/** Different questions that begin in one interval of sweeps, the oldest first: an outage that ends must not become a flood. */
const MAX_ASKED_PER_SWEEP = 100;

export type RightAnswer =
  /** @param endsAt When it ends if nothing renews it; undefined: it does not by itself. */
  | { readonly holds: true; readonly endsAt: number | undefined }
  | { readonly holds: false; readonly reason: string }
  | "unknown";

export interface OpenRight {
  readonly agentId: string;
  /** By the time of day. */
  readonly endsAt: number | undefined;
  /** When to ask for the first time: the decision may have been made a while before the use began. */
  readonly askAfterMs: number;
  /** Equal for rights that one answer of the primary is about: they are asked for at the same time. */
  readonly question: string;
  /** Asks the primary. Never rejects. */
  ask(): Promise<RightAnswer>;
  /** Called once. */
  end(reason: string): void;
}

interface Entry {
  readonly right: OpenRight;
  endsAt: number | undefined;
  dueAt: number;
  lastHeldAt: number;
  asking: boolean;
  /** Something cast doubt on it while it was asked about. */
  doubted: boolean;
}

export interface OpenRightsOptions {
  readonly clock: () => Instant;
  /** The time of day in milliseconds: for the ends of rights alone. */
  readonly now: () => number;
  /** Called when nothing is open of an agent whose rights were refused or doubted. */
  readonly onNoneLeft: (agentId: string) => void;
}

export class OpenRights {
  readonly #open = new Set<Entry>();
  readonly #options: OpenRightsOptions;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  /** Questions that may begin before the next regular sweep. */
  #left = MAX_ASKED_PER_SWEEP;

  constructor(options: OpenRightsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#open.size;
  }

  /** Returns the way out; call it when the use is over. */
  add(right: OpenRight): () => void {
    const at = this.#options.clock();
    const { askAfterMs, endsAt } = right;
    const dueAt = at + Math.min(ASK_EVERY_MS, Math.max(0, askAfterMs));
    const entry = { right, endsAt, dueAt, lastHeldAt: at, asking: false, doubted: false };
    this.#open.add(entry);
    this.#timer ??= setInterval(() => {
      this.#left = MAX_ASKED_PER_SWEEP;
      this.#sweep();
    }, SWEEP_MS).unref();
    return () => this.#remove(entry);
  }

  /** The rights to an agent may have ended. */
  doubt(agentId: string): void {
    if (!this.#has(agentId)) this.#options.onNoneLeft(agentId);
    for (const entry of this.#open) {
      if (entry.right.agentId !== agentId) continue;
      entry.dueAt = this.#options.clock();
      entry.doubted = entry.asking;
    }
    // Once for all agents: with the primary their control connections end together.
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#sweep();
    });
  }

  /** None counts any more. */
  endAll(reason: string): void {
    for (const entry of [...this.#open]) this.#end(entry, reason);
  }

  #sweep(): void {
    const [at, now] = [this.#options.clock(), this.#options.now()];
    const due: Entry[] = [];
    for (const entry of this.#open) {
      const { asking, dueAt, endsAt, lastHeldAt } = entry;
      if (at - lastHeldAt >= UNANSWERED_MS) this.#end(entry, "the deployment did not answer for 15 minutes");
      else if (!asking && (dueAt <= at || (endsAt !== undefined && endsAt <= now))) due.push(entry);
    }
    due.sort((a, b) => a.dueAt - b.dueAt);
    for (const same of Map.groupBy(due, ({ right }) => right.question).values()) {
      if (this.#left === 0) return;
      this.#left--;
      for (const entry of same) void this.#ask(entry);
    }
  }

  async #ask(entry: Entry): Promise<void> {
    entry.asking = true;
    const answer = await entry.right.ask();
    entry.asking = false;
    if (!this.#open.has(entry)) return;
    const [at, now] = [this.#options.clock(), this.#options.now()];
    if (answer === "unknown") {
      if (entry.endsAt !== undefined && entry.endsAt <= now) this.#end(entry, "access ended");
      else entry.dueAt = at + ASK_AGAIN_MS;
    } else if (answer.holds) {
      entry.lastHeldAt = at;
      entry.endsAt = answer.endsAt;
      entry.dueAt = entry.doubted ? at : at + ASK_EVERY_MS;
      if (answer.endsAt !== undefined && answer.endsAt <= now) this.#end(entry, "access ended");
    } else this.#end(entry, answer.reason);
    entry.doubted = false;
  }

  #end(entry: Entry, reason: string): void {
    if (!this.#remove(entry)) return;
    entry.right.end(reason);
    const { agentId } = entry.right;
    if (!this.#has(agentId)) this.#options.onNoneLeft(agentId);
  }

  #has(agentId: string): boolean {
    for (const { right } of this.#open) if (right.agentId === agentId) return true;
    return false;
  }

  #remove(entry: Entry): boolean {
    const removed = this.#open.delete(entry);
    if (this.#open.size === 0) {
      clearInterval(this.#timer);
      clearImmediate(this.#soon);
      this.#timer = undefined;
      this.#soon = undefined;
    }
    return removed;
  }
}
