import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { type Claim, ThreadTurns, type TurnLimits } from "./thread-turns.ts";

/** Operations that go on until `end`. */
class Operations {
  readonly started: string[] = [];
  readonly turns: ThreadTurns;
  readonly #ends = new Map<string, () => void>();

  constructor(limits: Partial<TurnLimits>) {
    this.turns = new ThreadTurns({ total: 100, perClient: 100, perVolume: 100, ...limits });
  }

  /** @param name Begins with the client's name. */
  start(name: string, claim: Partial<Claim> = {}, signal?: AbortSignal): Promise<void> {
    const operation = () => {
      this.started.push(name);
      return new Promise<void>((resolve) => this.#ends.set(name, resolve));
    };
    return this.turns.run({ client: name[0]!, ...claim }, operation, signal);
  }

  async end(...names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.#ends.get(name)!();
      await turn();
    }
  }
}

test("operations that hang hold up their own client only", async () => {
  const operations = new Operations({ perClient: 2, total: 5 });
  const all = ["a1", "a2", "a3", "a4", "b1", "b2"].map((name) => operations.start(name));
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  await operations.end("b1");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  await operations.end("a2");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2", "a3"]);
  await operations.end("a1", "a3", "a4", "b2");
  await Promise.all(all);
});

test("however many clients wait for a file system that hangs, others go on", async () => {
  const operations = new Operations({ perClient: 2, perVolume: 3, total: 5 });
  const hung = Array.from({ length: 50 }, (_, client) =>
    operations.start(`hung ${client}`, { client: `client ${client}`, volumes: ["dead"] }),
  );
  expect(operations.started).toEqual(["hung 0", "hung 1", "hung 2"]);
  const other = operations.start("other", { volumes: ["alive"] });
  expect(operations.started).toContain("other");
  await operations.end("other");
  await other;
  for (let client = 0; client < 50; client++) await operations.end(`hung ${client}`);
  await Promise.all(hung);
  expect(operations.started.slice(4)).toEqual(Array.from({ length: 47 }, (_, index) => `hung ${index + 3}`));
});

test("an operation on two file systems waits for both, and its end lets all go on that waited for one", async () => {
  const operations = new Operations({ perVolume: 1 });
  const all = [
    operations.start("both", { volumes: ["x", "y"] }),
    operations.start("x", { volumes: ["x"] }),
    operations.start("y", { volumes: ["y"] }),
    operations.start("z", { volumes: ["z"] }),
    operations.start("again", { volumes: ["x", "y"] }),
  ];
  expect(operations.started).toEqual(["both", "z"]);
  await operations.end("both");
  expect(operations.started).toEqual(["both", "z", "x", "y"]);
  await operations.end("x");
  expect(operations.started).not.toContain("again");
  await operations.end("y", "again", "z");
  await Promise.all(all);
});

test("all clients together leave threads free", async () => {
  const operations = new Operations({ perClient: 2, total: 3 });
  const all = ["a1", "a2", "b1", "b2", "c1"].map((name) => operations.start(name));
  expect(operations.started).toEqual(["a1", "a2", "b1"]);
  await operations.end("b1");
  expect(operations.started).toEqual(["a1", "a2", "b1", "b2"]);
  await operations.end("a1", "a2", "b2", "c1");
  await Promise.all(all);
});

test("who leaves while waiting is not started, and its listener is gone", async () => {
  const operations = new Operations({ total: 1 });
  const leaver = new AbortController();
  const running = operations.start("a1");
  const waiting = operations.start("b1", {}, leaver.signal);
  const next = operations.start("c1", {}, leaver.signal);
  leaver.abort(new Error("left"));
  await expect(waiting).rejects.toThrow("left");
  await expect(next).rejects.toThrow("left");
  await expect(operations.start("d1", {}, leaver.signal)).rejects.toThrow("left");
  const last = operations.start("e1");
  await operations.end("a1");
  expect(operations.started).toEqual(["a1", "e1"]);
  await operations.end("e1");
  await Promise.all([running, last]);
});

test("an operation that fails gives its turn back", async () => {
  const { turns } = new Operations({ total: 1 });
  await expect(turns.run({ client: "a" }, () => Promise.reject(new Error("failed")))).rejects.toThrow("failed");
  expect(await turns.run({ client: "b" }, () => Promise.resolve(1))).toBe(1);
});

test("a long operation that takes a turn for each part lets those go first that wait already", async () => {
  const { turns } = new Operations({ total: 1 });
  const order: string[] = [];
  const long = (async () => {
    for (const part of ["a1", "a2", "a3"]) await turns.run({ client: "a" }, async () => void order.push(part));
  })();
  await Promise.all([
    long,
    ...["b", "c"].map((name) => turns.run({ client: name }, async () => void order.push(name))),
  ]);
  expect(order).toEqual(["a1", "b", "c", "a2", "a3"]);
});
