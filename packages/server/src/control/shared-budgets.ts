import type { ReassemblyBudget } from "coder-protocol/drpc/frame";

/** Limits the memory for unfinished messages, with one budget for all connections of a user. */
export class SharedBudgets {
  readonly #limitBytes: number;
  readonly #budgets = new Map<string, { readonly budget: ReassemblyBudget; connections: number }>();

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** The user's budget for one more connection. Call `leave` when the connection has ended. */
  of(userId: string): { readonly budget: ReassemblyBudget; leave(): void } {
    const entry = this.#budgets.get(userId) ?? {
      budget: { usedBytes: 0, limitBytes: this.#limitBytes },
      connections: 0,
    };
    this.#budgets.set(userId, entry);
    entry.connections++;
    return {
      budget: entry.budget,
      leave: () => {
        if (--entry.connections === 0) this.#budgets.delete(userId);
      },
    };
  }
}
