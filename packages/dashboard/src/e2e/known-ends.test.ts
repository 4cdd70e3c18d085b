import { expect, it } from "vitest";
import { isSame, KnownEnds } from "./known-ends.ts";
import type { FarEnd } from "./messages.ts";

class FakeStorage implements Storage {
  readonly #items = new Map<string, string>();
  #names: string[] = [];

  get length(): number {
    return this.#items.size;
  }
  key(index: number): string | null {
    if (this.#names.length !== this.#items.size) this.#names = [...this.#items.keys()];
    return this.#names[index] ?? null;
  }
  getItem(name: string): string | null {
    return this.#items.get(name) ?? null;
  }
  setItem(name: string, value: string): void {
    this.#items.set(name, value);
  }
  removeItem(name: string): void {
    this.#items.delete(name);
  }
  clear(): void {
    this.#items.clear();
  }
}

const END: FarEnd = { kind: "identity", key: "ab" };

it("keeps who was there for each agent, and since when", () => {
  const known = new KnownEnds(new FakeStorage(), () => 5);
  expect(known.of("a")).toBeUndefined();
  known.trust("a", END);
  expect(known.of("a")).toEqual({ ...END, since: 5 });
  expect(known.of("b")).toBeUndefined();
  known.trust("a", { kind: "key", key: "cd" });
  expect(known.of("a")).toEqual({ kind: "key", key: "cd", since: 5 });
});

it("security S27: what it cannot read is no end that it knows, and no first visit", () => {
  const storage = new FakeStorage();
  const known = new KnownEnds(storage, () => 5);
  known.trust("a", END);
  const name = storage.key(0)!;
  for (const spoilt of ["", "{", "null", "[]", '{"kind":"other","key":"ab","since":1}', '{"kind":"key"}']) {
    storage.setItem(name, spoilt);
    const kept = known.of("a");
    expect([spoilt, kept === undefined, kept !== undefined && isSame(kept, END)]).toEqual([spoilt, false, false]);
  }
});

it("forgets the one that it has known the longest beyond a thousand, and nothing of others", () => {
  const storage = new FakeStorage();
  let now = 0;
  const known = new KnownEnds(storage, () => now++);
  storage.setItem("other", "stays");
  for (let agent = 0; agent <= 1_000; agent++) known.trust(`agent${agent}`, END);
  expect(storage.length).toBe(1_001);
  expect([known.of("agent0"), known.of("agent1")?.since, storage.getItem("other")]).toEqual([undefined, 1, "stays"]);
});
