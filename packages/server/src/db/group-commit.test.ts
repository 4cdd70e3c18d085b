import { describe, expect, it } from "vitest";
import { GroupCommit } from "./group-commit.ts";
import type { Tables } from "./store.ts";

/** A store whose transactions undo their work when they fail. */
function fakeStore() {
  const done: string[] = [];
  const sizes: number[] = [];
  const commits = new GroupCommit(async (work) => {
    const before = done.length;
    try {
      return await work({} as Tables);
    } catch (error) {
      done.length = before;
      throw error;
    } finally {
      sizes.push(done.length - before);
    }
  });
  const write = (what: string): Promise<string> =>
    commits.add(async () => {
      done.push(what);
      if (what === "bad") throw new Error("no");
      return `${what} done`;
    });
  return { done, sizes, write };
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
