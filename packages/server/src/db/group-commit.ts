import { DomainError } from "../base/domain-error.ts";

type Run<Tables> = <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;

/** Runs work on the database. */
export interface Commits<Tables> {
  /** In one transaction. */
  readonly transaction: Run<Tables>;
  /** Without a transaction. The work is one statement and may run twice. */
  readonly statement: Run<Tables>;
  /** Locks rows until the transaction ends, in the order of all transactions. */
  readonly lock: (tables: Tables, rows: readonly LockedRow[]) => Promise<void>;
}

/** A statement that makes the writes to several rows. Resolves with the results by the row's id. */
export type Combined<Tables, Item, Result> = (
  tables: Tables,
  items: readonly Item[],
) => Promise<ReadonlyMap<string, Result>>;

/** The row that a write locks first. */
export interface LockedRow {
  readonly table: "workspace" | "agent";
  readonly id: string;
}

interface Waiting<Tables> {
  readonly row: LockedRow;
  /** Waiting writes of the same kind are made by one statement; undefined for a write that is made alone. */
  readonly kind: string | undefined;
  /** Runs the work of several waiting writes of this kind; `settle` passes their results on. */
  run(tables: Tables, all: readonly Waiting<Tables>[]): Promise<void>;
  settle(): void;
  reject(error: unknown): void;
}

/** A waiting write that others of its kind may join. */
interface Joining<Tables, Item, Result> extends Waiting<Tables> {
  readonly item: Item;
  result: Result | undefined;
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
    return new Promise((resolve, reject) => {
      let outcome: T;
      this.#waiting.push({
        row,
        kind: undefined,
        run: async (tables) => {
          outcome = await work(tables);
        },
        settle: () => resolve(outcome),
        reject,
      });
      this.#schedule();
    });
  }

  /**
   * Stores `item` with one statement, which also stores the items of the same kind that wait. The statement may take effect twice.
   * If nothing else waits, it runs without a transaction.
   * @param kind Equal only for items that one call of `work` can store.
   * @returns the result for the row; undefined if there is none.
   */
  combined<Item, Result>(
    row: LockedRow,
    kind: string,
    item: Item,
    work: Combined<Tables, Item, Result>,
  ): Promise<Result | undefined> {
    return new Promise((resolve, reject) => {
      const waiting: Joining<Tables, Item, Result> = {
        row,
        kind,
        item,
        result: undefined,
        run: async (tables, all) => {
          const joined = all as readonly Joining<Tables, Item, Result>[];
          const results = await work(
            tables,
            joined.map((other) => other.item),
          );
          for (const other of joined) other.result = results.get(other.row.id);
        },
        settle: () => resolve(waiting.result),
        reject,
      };
      this.#waiting.push(waiting);
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
    const { transaction, statement, lock } = this.#commits;
    const steps = stepsOf(group);
    try {
      if (steps.length === 1 && group[0]!.kind !== undefined)
        await statement(async (tables) => await group[0]!.run(tables, group));
      else
        await transaction(async (tables) => {
          if (steps.length < group.length)
            await lock(
              tables,
              group.map(({ row }) => row),
            );
          for (const step of steps) await step[0]!.run(tables, step);
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

/** The statements of a group: each has writes of one kind to different rows, and the writes to one row keep their order. */
function stepsOf<Tables>(group: readonly Waiting<Tables>[]): Waiting<Tables>[][] {
  const steps: Waiting<Tables>[][] = [];
  const last = new Map<string, number>();
  for (const part of group) {
    const row = `${part.row.table} ${part.row.id}`;
    const after = last.get(row) ?? -1;
    const joined = steps.findIndex((step, at) => at > after && part.kind !== undefined && step[0]!.kind === part.kind);
    const at = joined === -1 ? steps.push([]) - 1 : joined;
    steps[at]!.push(part);
    last.set(row, at);
  }
  return steps;
}

/** The order in dialect.ts, see `lockRow`. */
function byLockOrder({ row: a }: { readonly row: LockedRow }, { row: b }: { readonly row: LockedRow }): number {
  if (a.table !== b.table) return a.table === "workspace" ? -1 : 1;
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
