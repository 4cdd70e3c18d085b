import { describe, expect, it } from "vitest";
import { GroupCommit, type LockedRow } from "./group-commit.ts";
import { DatabaseAway } from "./postgres/failures.ts";
import type { Tables } from "./store.ts";

/** A store whose transactions undo their work when they fail. */
function fakeStore() {
  const done: string[] = [];
  const sizes: number[] = [];
  const alone: string[] = [];
  const locked: string[] = [];
  const commits = new GroupCommit<Tables>({
    transaction: async (work) => {
      const before = done.length;
      try {
        return await work({} as Tables);
      } catch (error) {
        done.length = before;
        throw error;
      } finally {
        sizes.push(done.length - before);
      }
    },
    statement: async (work) => {
      const result = await work({} as Tables);
      alone.push(done.at(-1)!);
      return result;
    },
    lock: async (_tables, rows) => void locked.push(rows.map(({ id }) => id).join(" ")),
  });
  /** Each statement is recorded as the texts of its writes. */
  const state = (what: string, row: LockedRow, kind = what): Promise<string | undefined> =>
    commits.combined(row, kind, what, async (_tables, all) => {
      done.push(all.join(" + "));
      if (all.includes("bad")) throw new Error("no");
      return new Map([[row.id, `${what} done`]]);
    });
  const write = (what: string): Promise<string> =>
    commits.add({ table: "agent", id: "a" }, async () => {
      done.push(what);
      if (what === "bad") throw new Error("no");
      return `${what} done`;
    });
  return { done, sizes, alone, locked, commits, write, state };
}

describe("GroupCommit", () => {
  it("puts the writes of one turn into one transaction, in order", async () => {
    const { done, sizes, write } = fakeStore();
    expect(await Promise.all([write("a"), write("b"), write("c")])).toEqual(["a done", "b done", "c done"]);
    expect(done).toEqual(["a", "b", "c"]);
    expect(sizes).toEqual([3]);
    await write("d");
    expect(sizes).toEqual([3, 1]);
  });

  it("rejects only the write that fails", async () => {
    const { done, write } = fakeStore();
    const results = await Promise.allSettled([write("a"), write("bad"), write("c")]);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(done).toEqual(["a", "c"]);
    expect(await write("d")).toBe("d done");
  });

  it("locks rows in the order of all transactions, and keeps the order of the writes to one row", async () => {
    const { done, sizes, state } = fakeStore();
    const rows: LockedRow[] = [
      { table: "agent", id: "b" },
      { table: "workspace", id: "y" },
      { table: "agent", id: "a" },
      { table: "agent", id: "b" },
      { table: "workspace", id: "x" },
    ];
    await Promise.all(rows.map((row, i) => state(`${i} ${row.id}`, row)));
    expect(done).toEqual(["4 x", "1 y", "2 a", "0 b", "3 b"]);
    expect(sizes).toEqual([5]);
  });

  it("runs a statement that is alone without a transaction", async () => {
    const { sizes, alone, write, state } = fakeStore();
    const row = { table: "agent", id: "a" } as const;
    await state("one", row);
    await Promise.all([state("two", row), write("three")]);
    await write("four");
    expect([alone, sizes]).toEqual([["one"], [2, 1]]);
  });

  it("makes the writes of one kind with one statement, and gives each its result", async () => {
    const { alone, sizes, locked, commits } = fakeStore();
    const write = (id: string, item: number): Promise<number | undefined> =>
      commits.combined({ table: "agent", id }, "double", item, async (_tables, items) => {
        expect(items).toEqual([1, 2, 3]);
        return new Map([
          ["a", 2],
          ["c", 6],
        ]);
      });
    expect(await Promise.all([write("c", 3), write("a", 1), write("b", 2)])).toEqual([6, 2, undefined]);
    expect([alone, sizes, locked]).toEqual([[undefined], [], []]);
  });

  it("keeps the order of the writes to one row, and locks all rows first", async () => {
    const { done, locked, sizes, state } = fakeStore();
    const on = (id: string): LockedRow => ({ table: "agent", id });
    await Promise.all([
      state("b starts", on("b"), "start"),
      state("a starts", on("a"), "start"),
      state("a stops", on("a"), "stop"),
      state("b stops", on("b"), "stop"),
      state("a starts again", on("a"), "start"),
      state("c stops", on("c"), "stop"),
    ]);
    expect(done).toEqual(["a starts + b starts", "a stops + b stops + c stops", "a starts again"]);
    expect(locked).toEqual(["a a a b b c"]);
    expect(sizes).toEqual([3]);
  });

  it("rejects only the write that fails of those that share a statement", async () => {
    const { done, state } = fakeStore();
    const writes = ["a", "bad", "c"].map((what) => state(what, { table: "agent", id: what }, "same"));
    const results = await Promise.allSettled(writes);
    expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(done.slice(-3)).toEqual(["a", "bad", "c"]);
  });

  it("tries no write again alone while there is no database", async () => {
    let attempts = 0;
    const away = async (): Promise<never> => {
      attempts++;
      throw new DatabaseAway(undefined);
    };
    const commits = new GroupCommit<Tables>({ transaction: away, statement: away, lock: async () => undefined });
    const writes = ["a", "b", "c"].map((id) => commits.add({ table: "agent", id }, async () => undefined));
    const results = await Promise.allSettled(writes);
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(attempts).toBe(1);
  });

  it("bounds a transaction, and lets the event loop turn between two", async () => {
    const { sizes, write } = fakeStore();
    const seen: number[] = [];
    const look = (): void => {
      seen.push(sizes.length);
      if (sizes.length < 4) setImmediate(look);
    };
    setImmediate(look);
    await Promise.all(Array.from({ length: 200 }, (_, i) => write(`${i}`)));
    expect(sizes).toEqual([64, 64, 64, 8]);
    expect(seen).toEqual(expect.arrayContaining([1, 2, 3]));
  });
});
