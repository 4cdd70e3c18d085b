type Transaction<Tables> = <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;

interface Waiting<Tables> {
  /** Runs the work; `settle` passes its result on. */
  run(tables: Tables): Promise<void>;
  settle(): void;
  reject(error: unknown): void;
}

/** Limits a transaction, so that other work gets the event loop and the database in between. */
const MAX_PER_TRANSACTION = 64;

/**
 * Combines the small writes that are requested in one turn of the event loop into one transaction, because each commit waits for
 * the disk and, after a power cut, thousands of agents write at the same time. Each promise resolves when its write is durable,
 * and rejects only for its own failure: if a transaction fails, each of its parts is tried again alone.
 */
export class GroupCommit<Tables> {
  readonly #transaction: Transaction<Tables>;
  #waiting: Waiting<Tables>[] = [];
  #scheduled = false;

  constructor(transaction: Transaction<Tables>) {
    this.#transaction = transaction;
  }

  /** @param work May run twice; the first run is then rolled back. The rules of a transaction apply. */
  add<T>(work: (tables: Tables) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let outcome: T;
      this.#waiting.push({
        run: async (tables) => {
          outcome = await work(tables);
        },
        settle: () => resolve(outcome),
        reject,
      });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      const group = this.#waiting.splice(0, MAX_PER_TRANSACTION);
      void this.#commit(group).finally(() => {
        this.#scheduled = false;
        this.#schedule();
      });
    });
  }

  /** Never rejects. */
  async #commit(group: readonly Waiting<Tables>[]): Promise<void> {
    try {
      await this.#transaction(async (tables) => {
        for (const part of group) await part.run(tables);
      });
      for (const part of group) part.settle();
    } catch (error) {
      if (group.length === 1) group[0]!.reject(error);
      else for (const part of group) await this.#commit([part]);
    }
  }
}
