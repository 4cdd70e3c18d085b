/**
 * Two agents with one token would replace each other endlessly. At first the newer connection wins, because an agent whose
 * network changed returns before its old connection is known to be dead. After a few times the agent that is connected stays.
 */

/** Takeovers that are allowed within WINDOW_MS; further ones are a contest. */
const FREE_TAKEOVERS = 3;
const WINDOW_MS = 2 * 60_000;
/** A contest is over when there was no attempt for this long; agents retry every 10 s. */
const OVER_AFTER_MS = 60_000;
const MAX_AGENTS = 4_096;
const MAX_ADDRESSES = 4;

interface Contest {
  takeovers: number[];
  /** Time of the last refusal; undefined if there was none. */
  refusedAt: number | undefined;
  readonly addresses: Set<string>;
}

export class TokenContests {
  readonly #contests = new Map<string, Contest>();

  /** Called when an agent connects while another with its token is connected. Returns false if it has to be refused. */
  mayTakeOver(agentId: string, addresses: readonly string[], nowMs: number): boolean {
    const contest = this.#contests.get(agentId) ?? {
      takeovers: [],
      refusedAt: undefined,
      addresses: new Set<string>(),
    };
    this.#contests.delete(agentId);
    this.#contests.set(agentId, contest);
    const [oldest] = this.#contests.keys();
    if (this.#contests.size > MAX_AGENTS && oldest !== undefined) this.#contests.delete(oldest);
    for (const address of addresses) if (contest.addresses.size < MAX_ADDRESSES) contest.addresses.add(address);
    contest.takeovers = contest.takeovers.filter((at) => nowMs - at < WINDOW_MS);
    const isContested = this.addresses(agentId, nowMs) !== undefined;
    if (!isContested && contest.takeovers.length < FREE_TAKEOVERS) {
      contest.takeovers.push(nowMs);
      return true;
    }
    contest.refusedAt = nowMs;
    return false;
  }

  /** The addresses of the agents that compete for this token; undefined if there is no contest. */
  addresses(agentId: string, nowMs: number): readonly string[] | undefined {
    const contest = this.#contests.get(agentId);
    if (contest?.refusedAt === undefined || nowMs - contest.refusedAt >= OVER_AFTER_MS) return undefined;
    return [...contest.addresses];
  }

  /** Forgets contests that are over. */
  sweep(nowMs: number): void {
    for (const [agentId, { takeovers }] of this.#contests) {
      const isRecent = takeovers.some((at) => nowMs - at < WINDOW_MS);
      if (!isRecent && this.addresses(agentId, nowMs) === undefined) this.#contests.delete(agentId);
    }
  }
}
