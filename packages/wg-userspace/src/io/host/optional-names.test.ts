import { expect, it, vi } from "vitest";
import { OptionalNames } from "./optional-names.ts";

const never = new AbortController().signal;
const hanging = (): Promise<never> => new Promise(() => undefined);

it("occupies at most one of the system's threads, and resolves one name after the other", async () => {
  const answers = new Map<string, (addresses: string[]) => void>();
  const names = new OptionalNames({
    system: (name) => new Promise((resolve) => answers.set(name, resolve)),
    nameServers: hanging,
  });
  const [a, b, again] = [
    names.resolve("a.test", never),
    names.resolve("b.test", never),
    names.resolve("a.test", never),
  ];
  expect([...answers.keys()]).toEqual(["a.test"]);
  answers.get("a.test")!(["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"]);
  expect(await a).toEqual(["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
  expect(await again).toEqual(await a);
  expect([...answers.keys()]).toEqual(["a.test", "b.test"]);
  answers.get("b.test")!([]);
  expect(await b).toEqual([]);
});

it("queries the name servers directly for all waiting names while the system hangs", async () => {
  vi.useFakeTimers();
  try {
    const asked: string[] = [];
    let systems = 0;
    const names = new OptionalNames({
      system: () => {
        systems++;
        return hanging();
      },
      nameServers: async (name) => {
        asked.push(name);
        return name === "a.test" ? Promise.reject(new Error("no such name")) : ["192.0.2.7"];
      },
    });
    const stop = new AbortController();
    const all = ["a.test", "b.test", "c.test"].map((name) => names.resolve(name, stop.signal));
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toEqual(["a.test", "b.test", "c.test"]);
    expect(await Promise.all(all.slice(1))).toEqual([["192.0.2.7"], ["192.0.2.7"]]);
    stop.abort();
    expect(await all[0]).toEqual([]);
    expect(systems).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});

it("does not resolve names that are no longer awaited", async () => {
  const asked: string[] = [];
  let free = (_addresses: string[]): void => undefined;
  const names = new OptionalNames({
    system: (name) => {
      asked.push(name);
      return new Promise((resolve) => {
        free = resolve;
      });
    },
    nameServers: hanging,
  });
  const stop = new AbortController();
  const first = names.resolve("a.test", never);
  const given = names.resolve("b.test", stop.signal);
  stop.abort();
  expect(await given).toEqual([]);
  const last = names.resolve("c.test", never);
  free(["192.0.2.1"]);
  expect(await first).toEqual(["192.0.2.1"]);
  free(["192.0.2.3"]);
  expect(await last).toEqual(["192.0.2.3"]);
  expect(asked).toEqual(["a.test", "c.test"]);
});

it("passes addresses through, and accepts a bounded number of names", async () => {
  const names = new OptionalNames({ system: hanging, nameServers: hanging });
  expect(await names.resolve("2001:db8::1", never)).toEqual(["2001:db8::1"]);
  const stop = new AbortController();
  const waiting = Array.from({ length: 256 }, (_, i) => names.resolve(`${i}.test`, stop.signal));
  expect(await names.resolve("one-more.test", never)).toEqual([]);
  stop.abort();
  expect((await Promise.all(waiting)).flat()).toEqual([]);
});
