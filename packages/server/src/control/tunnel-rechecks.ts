/**
 * Rechecks the rights that the tunnels of one workspace proxy depend on. One check runs at a time; what changes meanwhile is
 * collected for the next.
 */

const IN_PARALLEL = 8;
/**
 * A check that fails is repeated for this long, and one that is not answered is waited for. An agent that is still undecided then may
 * no longer be reached.
 */
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
  /** Resolves after this time, or earlier when everything ends or the signal aborts. */
  readonly pause: (ms: number, signal?: AbortSignal) => Promise<void>;
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

  /** Whatever has not been found out in time counts as ended. */
  async #look({ agentIds, userIds }: Due): Promise<void> {
    const { admitted, end, pause } = this.#options;
    const look: Look = { users: [...userIds], left: new Set(agentIds), isOver: false };
    const over = new AbortController();
    try {
      await Promise.race([this.#retry(look), pause(RETRY_FOR_MS, over.signal)]);
    } finally {
      look.isOver = true;
      over.abort();
    }
    for (const agentId of look.users.length > 0 ? admitted() : look.left) end(agentId);
  }

  /** Resolves when everything is decided. */
  async #retry(look: Look): Promise<void> {
    const { concerned, admitted, onError, pause } = this.#options;
    for (;;) {
      try {
        if (look.users.length > 0)
          for (const agentId of await concerned(admitted(), look.users)) look.left.add(agentId);
        look.users = [];
      } catch (error) {
        onError(error);
      }
      await this.#decide(look);
      if (look.isOver || (look.users.length === 0 && look.left.size === 0)) return;
      await pause(RETRY_EVERY_MS);
      if (look.isOver) return;
    }
  }

  /**
   * Ends the tunnels to agents that may no longer be reached, and reports the others as staying. Those that cannot be checked are
   * left.
   */
  async #decide(look: Look): Promise<void> {
    const { holds, end, onError, stays } = this.#options;
    const agentIds = [...look.left];
    for (let at = 0; at < agentIds.length && !look.isOver; at += IN_PARALLEL) {
      const looked = agentIds.slice(at, at + IN_PARALLEL).map(async (agentId) => {
        try {
          const isHeld = await holds(agentId);
          if (look.isOver) return; // too late: it has been ended
          look.left.delete(agentId);
          if (isHeld) stays(agentId);
          else end(agentId);
        } catch (error) {
          onError(error);
        }
      });
      await Promise.all(looked);
    }
  }
}

interface Look {
  users: readonly string[];
  /** Agents that are undecided. */
  readonly left: Set<string>;
  isOver: boolean;
}

function nothing(): Due {
  return { agentIds: new Set(), userIds: new Set() };
}
