import { describe, expect, it } from "vitest";
import { GroupCommit, type LockedRow } from "./group-commit.ts";
import { DatabaseAway } from "./postgres/failures.ts";
import type { Tables } from "./store.ts";

/** A store whose transactions undo their work when they fail. */
function fakeStore() {
  const done: string[] = [];
  const sizes: number[] = [];
  const alone: string[] = [];
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
  });
  const state = (what: string, row: LockedRow): Promise<void> =>
    commits.statement(row, async () => {
      done.push(what);
    });
  const write = (what: string): Promise<string> =>
    commits.add({ table: "agent", id: "a" }, async () => {
      done.push(what);
      if (what === "bad") throw new Error("no");
      return `${what} done`;
    });
  return { done, sizes, alone, write, state };
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

  it("tries no write again alone while there is no database", async () => {
    let attempts = 0;
    const away = async (): Promise<never> => {
      attempts++;
      throw new DatabaseAway(undefined);
    };
    const commits = new GroupCommit<Tables>({ transaction: away, statement: away });
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
