import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { FileTurns } from "./file-turns.ts";

/** Operations that go on until `end`. */
class Operations {
  readonly started: string[] = [];
  readonly #ends = new Map<string, () => void>();
  readonly #turns: FileTurns;

  constructor(turns: FileTurns) {
    this.#turns = turns;
  }

  start(client: string, name: string): Promise<void> {
    return this.#turns.run(client, () => {
      this.started.push(name);
      return new Promise<void>((resolve) => this.#ends.set(name, resolve));
    });
  }

  async end(name: string): Promise<void> {
    this.#ends.get(name)!();
    await turn();
  }
}

test("operations that hang hold up their own client only", async () => {
  const operations = new Operations(new FileTurns(2, 5));
  const all = ["a1", "a2", "a3", "a4", "b1", "b2"].map((name) => operations.start(name[0]!, name));
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  await operations.end("b1");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  await operations.end("a2");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2", "a3"]);
  for (const name of ["a1", "a3", "a4", "b2"]) await operations.end(name);
  await Promise.all(all);
});

test("all clients together leave threads free", async () => {
  const operations = new Operations(new FileTurns(2, 3));
  const all = ["a1", "a2", "b1", "b2", "c1"].map((name) => operations.start(name[0]!, name));
  expect(operations.started).toEqual(["a1", "a2", "b1"]);
  await operations.end("b1");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  for (const name of ["a1", "a2", "b2", "c1"]) await operations.end(name);
  await Promise.all(all);
});

test("an operation that fails gives its turn back", async () => {
  const turns = new FileTurns(1, 1);
  await expect(turns.run("a", () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(await turns.run("b", () => Promise.resolve(1))).toBe(1);
});

test("a long operation gives its turn to those that wait, part by part", async () => {
  const turns = new FileTurns(1, 1);
  const order: string[] = [];
  const long = turns.run("a", async () => {
    for (const part of ["a1", "a2", "a3"]) {
      order.push(part);
      await turns.passOn("a");
    }
  });
  await Promise.all([long, ...["b", "c"].map((name) => turns.run(name, async () => void order.push(name)))]);
  expect(order).toEqual(["a1", "a2", "b", "c", "a3"]); // the first part ended before the others came
});
