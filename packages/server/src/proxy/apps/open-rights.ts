/**
 * What is open at this proxy under a right that the primary granted: terminals, requests and WebSockets of apps. The primary is
 * asked again about each once a minute, and at once after a doubt; a refusal ends it. While the primary does not answer, what is
 * open continues for a while: the tunnel does not need the control plane, and an outage should end no sessions.
 */
import type { Instant } from "wg-userspace/base/instant";

/** A decision is valid for this long. */
export const ASK_EVERY_MS = 60_000;
/** Pause after a question that was not answered. */
const ASK_AGAIN_MS = 5_000;
/** As long as a relay serves clients that the primary does not confirm. */
const UNANSWERED_MS = 15 * 60_000;
const SWEEP_MS = 500;
/** A doubt is remembered for longer than a decision is valid, including the error of both clocks and the time of a question. */
const REMEMBER_DOUBT_MS = 5 * 60_000;
const MAX_DOUBTS = 10_000;
/**
 * Different questions that may begin in one interval of sweeps, the oldest first, so that the end of an outage causes no flood.
 */
const MAX_ASKED_PER_SWEEP = 100;

export type RightAnswer =
  /** @param endsAt When the right expires unless it is renewed; undefined if it does not. */
  | { readonly holds: true; readonly endsAt: number | undefined }
  | { readonly holds: false; readonly reason: string }
  | "unknown";

export interface OpenRight {
  readonly agentId: string;
  /** By the time of day. */
  readonly endsAt: number | undefined;
  /** When to ask for the first time, since the decision may have been made some time before the use began. */
  readonly askAfterMs: number;
  /** The decision was made after this time, on the clock of these rights. Undefined if the time is not known. */
  readonly decidedAfter: Instant | undefined;
  /** Equal for rights that one answer of the primary covers: they are asked about together. */
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
  /** There was a doubt while the question was pending. */
  doubted: boolean;
}

export interface OpenRightsOptions {
  readonly clock: () => Instant;
  /** The time of day in milliseconds, used only for the expiry of rights. */
  readonly now: () => number;
  /** Called when the rights to an agent were refused or doubted and nothing is open to it. */
  readonly onAgentUnused: (agentId: string) => void;
}

export class OpenRights {
  readonly #open = new Set<Entry>();
  /** When rights to each agent were last doubted, the oldest first. */
  readonly #doubts = new Map<string, Instant>();
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

  /** Returns a function to call when the use is over. */
  add(right: OpenRight): () => void {
    const at = this.#options.clock();
    const { askAfterMs, endsAt } = right;
    const isDoubted = this.#isDoubted(right, at);
    const dueAt = isDoubted ? at : at + Math.min(ASK_EVERY_MS, Math.max(0, askAfterMs));
    const entry = { right, endsAt, dueAt, lastHeldAt: at, asking: false, doubted: false };
    this.#open.add(entry);
    this.#timer ??= setInterval(() => {
      this.#left = MAX_ASKED_PER_SWEEP;
      this.#sweep();
    }, SWEEP_MS).unref();
    if (isDoubted) this.#sweepSoon();
    return () => this.#remove(entry);
  }

  /** The rights to an agent may have ended. */
  doubt(agentId: string): void {
    const at = this.#options.clock();
    this.#remember(agentId, at);
    if (!this.#has(agentId)) this.#options.onAgentUnused(agentId);
    for (const entry of this.#open) {
      if (entry.right.agentId !== agentId) continue;
      entry.dueAt = at;
      entry.doubted = entry.asking;
    }
    this.#sweepSoon();
  }

  /** Ends everything, because no right is valid any more. */
  endAll(reason: string): void {
    for (const entry of [...this.#open]) this.#end(entry, reason);
  }

  /** Whether the decision may be older than the latest doubt about it. The two arrive on different connections. */
  #isDoubted({ agentId, decidedAfter }: OpenRight, at: Instant): boolean {
    const doubtedAt = this.#doubts.get(agentId);
    if (doubtedAt === undefined || at - doubtedAt > REMEMBER_DOUBT_MS) return false;
    return decidedAfter === undefined || doubtedAt >= decidedAfter;
  }

  #remember(agentId: string, at: Instant): void {
    this.#doubts.delete(agentId);
    this.#doubts.set(agentId, at);
    for (const [oldest, doubtedAt] of this.#doubts) {
      if (this.#doubts.size <= MAX_DOUBTS && at - doubtedAt <= REMEMBER_DOUBT_MS) return;
      this.#doubts.delete(oldest);
    }
  }

  /** Once for all agents: if the primary ends, so do the control connections to all of them. */
  #sweepSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      this.#sweep();
    });
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
    if (!this.#has(agentId)) this.#options.onAgentUnused(agentId);
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
