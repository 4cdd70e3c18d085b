/**
 * Looks up again what the tunnels of one workspace proxy rest on. One look is under way at a time: what changes meanwhile is
 * gathered for the next one.
 */

const IN_PARALLEL = 8;
/** A look that fails is repeated for this long; an agent of which nothing was found out by then may not be reached any more. */
const RETRY_FOR_MS = 2_000;
const RETRY_EVERY_MS = 500;

/** What may have ended the right to tunnels. */
export type Doubt = { readonly agentIds: readonly string[] } | { readonly userId: string };

export interface TunnelLooksOptions {
  /** Agents that the proxy may have tunnels to. */
  readonly admitted: () => readonly string[];
  /** Of these agents, those whose tunnels a change of one of the users may have ended. */
  readonly concerned: (agentIds: readonly string[], userIds: readonly string[]) => Promise<readonly string[]>;
  readonly holds: (agentId: string) => Promise<boolean>;
  readonly end: (agentId: string) => void;
  readonly onError: (error: unknown) => void;
  /** Resolves after this time, early when all of it ends. */
  readonly pause: (ms: number) => Promise<void>;
  /** Monotonic. */
  readonly now: () => number;
}

interface Due {
  readonly agentIds: Set<string>;
  readonly userIds: Set<string>;
}

export class TunnelLooks {
  readonly #options: TunnelLooksOptions;
  #due: Due = nothing();
  #running: Promise<void> | undefined;

  constructor(options: TunnelLooksOptions) {
    this.#options = options;
  }

  /** Resolves when this and what was doubted before has been looked up. Never rejects. */
  doubt(what: Doubt): Promise<void> {
    if ("userId" in what) this.#due.userIds.add(what.userId);
    else for (const agentId of what.agentIds) this.#due.agentIds.add(agentId);
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    try {
      while (this.#due.agentIds.size + this.#due.userIds.size > 0) {
        const due = this.#due;
        this.#due = nothing();
        await this.#look(due);
      }
    } finally {
      // In the same turn as the look at `#due`: what is doubted from here on begins another run.
      this.#running = undefined;
    }
  }

  async #look({ agentIds, userIds }: Due): Promise<void> {
    const { concerned, admitted, end, onError, pause, now } = this.#options;
    const giveUpAt = now() + RETRY_FOR_MS;
    let users: readonly string[] = [...userIds];
    let left: readonly string[] = [...agentIds];
    for (;;) {
      try {
        if (users.length > 0) left = [...new Set([...left, ...(await concerned(admitted(), users))])];
        users = [];
      } catch (error) {
        onError(error);
      }
      left = await this.#unknown(left);
      if (users.length === 0 && left.length === 0) return;
      if (now() >= giveUpAt) break;
      await pause(RETRY_EVERY_MS);
    }
    // A right that cannot be looked up is none.
    for (const agentId of users.length > 0 ? admitted() : left) end(agentId);
  }

  /** Ends the tunnels to agents that may not be reached any more. Returns those of which nothing was found out. */
  async #unknown(agentIds: readonly string[]): Promise<string[]> {
    const { holds, end, onError } = this.#options;
    const unknown: string[] = [];
    for (let at = 0; at < agentIds.length; at += IN_PARALLEL) {
      const looked = agentIds.slice(at, at + IN_PARALLEL).map(async (agentId) => {
        try {
          if (!(await holds(agentId))) end(agentId);
        } catch (error) {
          onError(error);
          unknown.push(agentId);
        }
      });
      await Promise.all(looked);
    }
    return unknown;
  }
}

function nothing(): Due {
  return { agentIds: new Set(), userIds: new Set() };
}
