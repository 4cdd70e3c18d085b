import { DomainError } from "../base/domain-error.ts";

type Run<Tables> = <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;

/** Runs work on the database. */
export interface Commits<Tables> {
  /** In one transaction. */
  readonly transaction: Run<Tables>;
  /** Without a transaction. The work is one statement and may run twice. */
  readonly statement: Run<Tables>;
}

/** The row that a write locks first. */
export interface LockedRow {
  readonly table: "workspace" | "agent";
  readonly id: string;
}

interface Waiting<Tables> {
  readonly row: LockedRow;
  readonly isStatement: boolean;
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
 * and rejects only for its own failure: if a transaction fails, each of its parts is tried again alone, unless the database is away.
 * The writes to one row keep their order. The rows are locked in the same order as by all other transactions, so that two servers
 * do not deadlock.
 */
export class GroupCommit<Tables> {
  readonly #commits: Commits<Tables>;
  #waiting: Waiting<Tables>[] = [];
  #scheduled = false;

  constructor(commits: Commits<Tables>) {
    this.#commits = commits;
  }

  /** @param work May run twice; the first run is then rolled back. The rules of a transaction apply. */
  add<T>(row: LockedRow, work: (tables: Tables) => Promise<T>): Promise<T> {
    return this.#add(row, false, work);
  }

  /** Like add, for work that is one statement and may take effect twice. If it is the only write, it runs without a transaction. */
  statement<T>(row: LockedRow, work: (tables: Tables) => Promise<T>): Promise<T> {
    return this.#add(row, true, work);
  }

  #add<T>(row: LockedRow, isStatement: boolean, work: (tables: Tables) => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let outcome: T;
      this.#waiting.push({
        row,
        isStatement,
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
      void this.#commit(group.sort(byLockOrder)).finally(() => {
        this.#scheduled = false;
        this.#schedule();
      });
    });
  }

  /** Never rejects. */
  async #commit(group: readonly Waiting<Tables>[]): Promise<void> {
    const { transaction, statement } = this.#commits;
    const run = group.length === 1 && group[0]!.isStatement ? statement : transaction;
    try {
      await run(async (tables) => {
        for (const part of group) await part.run(tables);
      });
      for (const part of group) part.settle();
    } catch (error) {
      // The database is away: each part alone would fail as well, one after the other.
      const isForAll = error instanceof DomainError && error.code === "unavailable";
      if (group.length === 1 || isForAll) for (const part of group) part.reject(error);
      else for (const part of group) await this.#commit([part]);
    }
  }
}

/** The order in dialect.ts, see `lockRow`. */
function byLockOrder({ row: a }: { readonly row: LockedRow }, { row: b }: { readonly row: LockedRow }): number {
  if (a.table !== b.table) return a.table === "workspace" ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
