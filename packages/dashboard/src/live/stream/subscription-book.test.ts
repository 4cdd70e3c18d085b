import { expect, test } from "vitest";
import type { ToTab } from "./messages.ts";
import { SubscriptionBook, type Tab } from "./subscription-book.ts";

const LIST = { topic: "workspaces", args: { q: "" } } as const;

function setUp() {
  const sent: unknown[] = [];
  const book = new SubscriptionBook((text) => void sent.push(JSON.parse(text)));
  const tab = (): Tab & { take(): ToTab[] } => {
    const messages: ToTab[] = [];
    const made = { post: (message: ToTab) => void messages.push(message), take: () => messages.splice(0) };
    book.enter(made);
    return made;
  };
  return { book, tab, take: () => sent.splice(0) };
}

test("tabs that show the same share a subscription; a later one gets what is known", () => {
  const { book, tab, take } = setUp();
  const one = tab();
  book.join(one, "list", LIST);
  expect(take()).toEqual([]);
  book.opened();
  expect(take()).toEqual([{ op: "sub", id: 1, ...LIST }]);
  expect(one.take()).toEqual([
    { type: "link", up: false },
    { type: "link", up: true },
  ]);
  book.received({ id: 1, type: "snapshot", rev: 1, data: { a: 1, b: 2 } });
  book.received({ id: 1, type: "patch", rev: 2, set: { a: 3 }, del: ["b"] });
  expect(one.take()).toEqual([
    { type: "snapshot", key: "list", data: { a: 1, b: 2 } },
    { type: "patch", key: "list", set: { a: 3 }, del: ["b"] },
  ]);
  const two = tab();
  book.join(two, "list", LIST);
  expect(two.take()).toEqual([
    { type: "link", up: true },
    { type: "snapshot", key: "list", data: { a: 3 } },
  ]);
  book.leave(one, "list");
  expect(take()).toEqual([]);
  book.gone(two);
  expect(take()).toEqual([{ op: "unsub", id: 1 }]);
  expect(book.tabs).toBe(1);
});

test("after a loss everything is asked for again; late messages of before mean nothing", () => {
  const { book, tab, take } = setUp();
  const one = tab();
  book.opened();
  book.join(one, "list", LIST);
  book.received({ id: 1, type: "snapshot", rev: 9, data: { a: 1 } });
  book.lost();
  book.join(one, "me", { topic: "me", args: {} });
  take();
  one.take();
  book.opened();
  expect(take()).toEqual([
    { op: "sub", id: 2, ...LIST },
    { op: "sub", id: 3, topic: "me", args: {} },
  ]);
  book.received({ id: 1, type: "snapshot", rev: 10, data: { old: 1 } });
  book.received({ id: 2, type: "snapshot", rev: 1, data: { b: 1 } });
  expect(one.take()).toEqual([
    { type: "link", up: true },
    { type: "snapshot", key: "list", data: { b: 1 } },
  ]);
  book.leave(one, "list");
  book.received({ id: 2, type: "patch", rev: 2, set: { c: 1 }, del: [] });
  expect(one.take()).toEqual([]);
});

test("what comes in parts reaches the tabs as a whole", () => {
  const { book, tab } = setUp();
  const one = tab();
  book.opened();
  book.join(one, "list", LIST);
  one.take();
  book.received({ id: 1, type: "snapshot", rev: 1, more: true, data: { a: 1 } });
  book.received({ id: 1, type: "patch", rev: 1, more: true, set: { b: 2 }, del: [] });
  const two = tab();
  book.join(two, "list", LIST);
  two.take();
  expect([one.take(), two.take()]).toEqual([[], []]);
  book.received({ id: 1, type: "patch", rev: 1, set: { c: 3 }, del: [] });
  const whole = [{ type: "snapshot", key: "list", data: { a: 1, b: 2, c: 3 } }];
  expect([one.take(), two.take()]).toEqual([whole, whole]);
  book.received({ id: 1, type: "patch", rev: 2, more: true, set: { a: 4 }, del: ["b"] });
  expect(one.take()).toEqual([]);
  book.received({ id: 1, type: "patch", rev: 2, set: { c: 5 }, del: [] });
  expect(one.take()).toEqual([{ type: "snapshot", key: "list", data: { a: 4, c: 5 } }]);
  // A connection that is lost between two parts leaves what was known.
  book.received({ id: 1, type: "snapshot", rev: 3, more: true, data: { z: 1 } });
  book.lost();
  book.opened();
  one.take();
  book.received({ id: 2, type: "patch", rev: 4, set: { d: 6 }, del: [] });
  expect(one.take()).toEqual([{ type: "patch", key: "list", set: { d: 6 }, del: [] }]);
});

test("what was refused is asked for again by the tab that comes later, and after the next connection", () => {
  const { book, tab, take } = setUp();
  const one = tab();
  book.opened();
  book.join(one, "health", { topic: "health", args: {} });
  book.received({ id: 1, type: "error", status: 404, message: "none" });
  const two = tab();
  take();
  book.join(two, "health", { topic: "health", args: {} });
  expect(take()).toEqual([{ op: "sub", id: 2, topic: "health", args: {} }]);
  book.received({ id: 2, type: "error", status: 404, message: "none" });
  expect(two.take().at(-1)).toEqual({ type: "error", key: "health", status: 404, message: "none" });
  book.gone(two);
  book.leave(one, "health");
  expect(take()).toEqual([]);
  book.join(one, "health", { topic: "health", args: {} });
  book.received({ id: 3, type: "error", status: 404, message: "none" });
  book.lost();
  book.join(two, "health", { topic: "health", args: {} });
  expect(two.take().at(-1)).toEqual({ type: "error", key: "health", status: 404, message: "none" });
  take();
  book.opened();
  expect(take()).toEqual([{ op: "sub", id: 4, topic: "health", args: {} }]);
});

test("tabs that leave and join after a failure cause one attempt", () => {
  const { book, tab, take } = setUp();
  const [one, two] = [tab(), tab()];
  book.opened();
  for (const each of [one, two]) book.join(each, "list", LIST);
  take();
  book.received({ id: 1, type: "error", status: 500, message: "failed" });
  for (const each of [one, two]) expect(each.take().at(-1)).toMatchObject({ type: "error", status: 500 });
  for (const each of [one, two]) {
    book.leave(each, "list");
    book.join(each, "list", LIST);
  }
  expect(take()).toEqual([{ op: "sub", id: 2, ...LIST }]);
  book.received({ id: 2, type: "snapshot", rev: 1, data: { a: 1 } });
  for (const each of [one, two]) expect(each.take()).toEqual([{ type: "snapshot", key: "list", data: { a: 1 } }]);
});

test("a key of any name stays a key", () => {
  const { book, tab } = setUp();
  const one = tab();
  book.opened();
  book.join(one, "list", LIST);
  book.received({ id: 1, type: "snapshot", rev: 1, data: JSON.parse('{"a":1}') });
  book.received({ id: 1, type: "patch", rev: 2, set: JSON.parse('{"__proto__":{"polluted":1}}'), del: [] });
  const two = tab();
  book.join(two, "list", LIST);
  const last = two.take().at(-1) as { data: Record<string, unknown> };
  expect([Object.keys(last.data), last.data["polluted"], ({} as { polluted?: 1 }).polluted]).toEqual([
    ["a", "__proto__"],
    undefined,
    undefined,
  ]);
});
