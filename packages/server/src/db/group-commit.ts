import { DomainError } from "../base/domain-error.ts";

type Run<Tables> = <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;

/** How work reaches the database. */
export interface Commits<Tables> {
  /** All of it or nothing. */
  readonly transaction: Run<Tables>;
  /** Work that is one statement, which may run twice. */
  readonly statement: Run<Tables>;
}

/** The row that a write locks first, where other servers may lock it too. */
export interface LockedRow {
  readonly table: "workspace" | "agent";
  readonly id: string;
}

interface Waiting<Tables> {
  readonly row: LockedRow;
  readonly isStatement: boolean;
  /** The work, whose result `settle` passes on. */
  run(tables: Tables): Promise<void>;
  settle(): void;
  reject(error: unknown): void;
}

/** Limits a transaction, so that other work gets the event loop and the database in between. */
const MAX_PER_TRANSACTION = 64;

/**
 * Puts the small writes that are asked for in one turn of the event loop into one transaction: a commit waits for the disk, and
 * after a power cut thousands of agents write at the same time. Each promise resolves when its write is durable, and rejects
 * for its own failure only: of a transaction that fails, while there is a database, every part is tried again alone. Writes to one row keep their order;
 * others run in the order in which every transaction locks rows, so that two servers do not wait for each other.
 */
export class GroupCommit<Tables> {
  readonly #commits: Commits<Tables>;
  #waiting: Waiting<Tables>[] = [];
  #scheduled = false;

  constructor(commits: Commits<Tables>) {
    this.#commits = commits;
  }

  /** @param work May run twice, the first time without effect. Same rules as for a transaction of its own. */
  add<T>(row: LockedRow, work: (tables: Tables) => Promise<T>): Promise<T> {
    return this.#add(row, false, work);
  }

  /** As add, for work that is one statement, which may have its effect twice: alone it needs no transaction. */
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
      // Without a database it would fail for each of them again, one after the other.
      const isForAll = error instanceof DomainError && error.code === "unavailable";
      if (group.length === 1 || isForAll) for (const part of group) part.reject(error);
      else for (const part of group) await this.#commit([part]);
    }
  }
}

/** As lockRow in dialect.ts has it. */
function byLockOrder({ row: a }: { readonly row: LockedRow }, { row: b }: { readonly row: LockedRow }): number {
  if (a.table !== b.table) return a.table === "workspace" ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
