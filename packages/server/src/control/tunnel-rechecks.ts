/**
 * Rechecks the rights that the tunnels of one workspace proxy depend on. One check runs at a time; what changes meanwhile is
 * collected for the next.
 */

const IN_PARALLEL = 8;
/** A check that fails is repeated for this long. An agent that is still undecided then may no longer be reached. */
const RETRY_FOR_MS = 2_000;
const RETRY_EVERY_MS = 500;

/** What may have ended the right to tunnels. */
export type Doubt = { readonly agentIds: readonly string[] } | { readonly userId: string };

export interface TunnelRechecksOptions {
  /** The agents to which the proxy may have tunnels. */
  readonly admitted: () => readonly string[];
  /** Those of `agentIds` whose tunnels a change of one of these users may have ended. */
  readonly concerned: (agentIds: readonly string[], userIds: readonly string[]) => Promise<readonly string[]>;
  readonly holds: (agentId: string) => Promise<boolean>;
  readonly end: (agentId: string) => void;
  /** The tunnel stays, and the proxy has to find out which of the rights that it serves under still hold. */
  readonly stays: (agentId: string) => void;
  readonly onError: (error: unknown) => void;
  /** Resolves after this time, or earlier when everything ends. */
  readonly pause: (ms: number) => Promise<void>;
  /** Monotonic. */
  readonly now: () => number;
}

interface Due {
  readonly agentIds: Set<string>;
  readonly userIds: Set<string>;
}

export class TunnelRechecks {
  readonly #options: TunnelRechecksOptions;
  #due: Due = nothing();
  #running: Promise<void> | undefined;

  constructor(options: TunnelRechecksOptions) {
    this.#options = options;
  }

  /** Resolves when this doubt and all earlier ones have been checked. Never rejects. */
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
      // Set in the same turn in which `#due` is read: a doubt from here on starts another run.
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
    // A right that cannot be looked up counts as ended.
    for (const agentId of users.length > 0 ? admitted() : left) end(agentId);
  }

  /**
   * Ends the tunnels to agents that may no longer be reached, and reports the others as staying. Returns the agents that could
   * not be checked.
   */
  async #unknown(agentIds: readonly string[]): Promise<string[]> {
    const { holds, end, onError, stays } = this.#options;
    const unknown: string[] = [];
    for (let at = 0; at < agentIds.length; at += IN_PARALLEL) {
      const looked = agentIds.slice(at, at + IN_PARALLEL).map(async (agentId) => {
        try {
          if (await holds(agentId)) stays(agentId);
          else end(agentId);
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
