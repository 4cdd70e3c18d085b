import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AccessEvents } from "../../auth/access-events.ts";
import { notFound } from "../../base/domain-error.ts";
import { type Entries, entriesOf } from "./entries.ts";
import { type FeedSource, Feeds } from "./feed.ts";
import { MAX_SUBSCRIPTIONS, Subscriptions } from "./subscriptions.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A source whose data the test changes. */
class Source implements FeedSource {
  data: Record<string, unknown> | undefined;
  reads = 0;
  watching = 0;
  changed: () => void = () => undefined;
  failing = false;
  constructor(data: Record<string, unknown>) {
    this.data = data;
  }
  async read(): Promise<Entries | undefined> {
    this.reads++;
    if (this.failing) throw new Error("broken");
    return this.data === undefined ? undefined : entriesOf(this.data);
  }
  watch(changed: () => void): () => void {
    this.watching++;
    this.changed = changed;
    return () => void this.watching--;
  }
  set(data: Record<string, unknown> | undefined): void {
    this.data = data;
    this.changed();
  }
}

const failures: unknown[] = [];
/** How many turns of promises it takes to decide whether a topic may be seen. */
const DECISION_TICKS = 5;

function setUp(source: Source) {
  const feeds = new Feeds((_key, error) => void failures.push(error));
  const browser = () => {
    const sent: string[] = [];
    let room = true;
    const events = new AccessEvents();
    const subscriptions: Subscriptions = new Subscriptions({
      holder: { userId: "u", keyId: "k" },
      events,
      sink: { send: (text) => void sent.push(text), hasRoom: () => room },
      open: async (topic, args) => {
        if (topic === "health") throw notFound();
        for (let i = 0; i < DECISION_TICKS; i++) await Promise.resolve();
        return {
          feed: () => feeds.open(`${topic}:${args["id"] ?? ""}`, () => source),
          concerns: { workspaceId: "w" },
        };
      },
    });
    events.subscribe((event) => subscriptions.accessChanged(event));
    return {
      subscriptions,
      events,
      setRoom: (has: boolean) => {
        room = has;
        if (has) subscriptions.drained();
      },
      take: () => sent.splice(0).map((text) => JSON.parse(text)),
      bytes: () => sent.reduce((sum, text) => sum + text.length, 0),
    };
  };
  return { feeds, browser };
}

test("subscribers share one read; each gets a snapshot, then patches of what changed", async () => {
  const source = new Source({ a: 1, b: 1 });
  const { feeds, browser } = setUp(source);
  const [one, two] = [browser(), browser()];
  await Promise.all([one.subscriptions.add(1, "workspaces", {}), two.subscriptions.add(9, "workspaces", {})]);
  expect(source.reads).toBe(1);
  expect(one.take()).toEqual([{ id: 1, type: "snapshot", rev: 1, data: { a: 1, b: 1 } }]);
  expect(two.take()).toEqual([{ id: 9, type: "snapshot", rev: 1, data: { a: 1, b: 1 } }]);
  await vi.advanceTimersByTimeAsync(1_000);
  source.set({ a: 2, c: 3 });
  await vi.advanceTimersByTimeAsync(0);
  expect(one.take()).toEqual([{ id: 1, type: "patch", rev: 2, set: { a: 2, c: 3 }, del: ["b"] }]);
  expect(two.take()).toEqual([{ id: 9, type: "patch", rev: 2, set: { a: 2, c: 3 }, del: ["b"] }]);
  one.subscriptions.close();
  two.subscriptions.close();
  expect([feeds.size, source.watching]).toEqual([0, 0]);
});

test("an isolated change is read at once; changes in a row are read once", async () => {
  const source = new Source({ n: 0 });
  const { browser } = setUp(source);
  const one = browser();
  await one.subscriptions.add(1, "workspaces", {});
  await vi.advanceTimersByTimeAsync(1_000);
  one.take();
  for (let n = 1; n <= 100; n++) source.set({ n });
  await vi.advanceTimersByTimeAsync(0);
  expect(one.take()).toMatchObject([{ set: { n: 1 } }]);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(one.take()).toMatchObject([{ set: { n: 100 } }]);
  expect(source.reads).toBe(3);
});

test("security S25: a browser that is behind gets the latest state of what changed, however often it did", async () => {
  const source = new Source({ a: 0, b: 0, c: 0 });
  const { browser } = setUp(source);
  const [slow, quick] = [browser(), browser()];
  await slow.subscriptions.add(1, "workspaces", {});
  await quick.subscriptions.add(1, "workspaces", {});
  await vi.advanceTimersByTimeAsync(100);
  slow.take();
  quick.take();
  slow.setRoom(false);
  for (let n = 1; n <= 500; n++) {
    source.set(n === 500 ? { a: n, c: 0 } : { a: n, b: n, c: 0 });
    await vi.advanceTimersByTimeAsync(100);
  }
  expect(slow.bytes()).toBe(0);
  expect(quick.take()).toHaveLength(500);
  slow.setRoom(true);
  expect(slow.take()).toEqual([{ id: 1, type: "patch", rev: 501, set: { a: 500 }, del: ["b"] }]);
});

test("a browser that missed too many keys gets a snapshot instead of a list of them", async () => {
  const source = new Source({ a: 0 });
  const { browser } = setUp(source);
  const slow = browser();
  await slow.subscriptions.add(1, "workspaces", {});
  await vi.advanceTimersByTimeAsync(100);
  slow.take();
  slow.setRoom(false);
  for (let round = 0; round < 10; round++) {
    source.set(Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`${round}-${index}`, 1])));
    await vi.advanceTimersByTimeAsync(100);
  }
  source.set({ z: 1 });
  await vi.advanceTimersByTimeAsync(100);
  slow.setRoom(true);
  expect(slow.take()).toEqual([{ id: 1, type: "snapshot", rev: 12, data: { z: 1 } }]);
});

test("a topic that may not be seen is refused as if it did not exist, and so is one that ends", async () => {
  const source = new Source({ a: 1 });
  const { feeds, browser } = setUp(source);
  const one = browser();
  await one.subscriptions.add(1, "health", {});
  expect(one.take()).toMatchObject([{ id: 1, type: "error", status: 404 }]);
  await one.subscriptions.add(2, "workspaces", {});
  await one.subscriptions.add(2, "workspaces", {});
  expect(one.take()).toMatchObject([{ type: "snapshot" }, { id: 2, type: "error", status: 400 }]);
  one.subscriptions.accessChanged({ kind: "workspace-deleted", workspaceId: "another", agentIds: [] });
  expect(one.take()).toEqual([]);
  one.subscriptions.accessChanged({ kind: "workspace-deleted", workspaceId: "w", agentIds: [] });
  expect(one.take()).toMatchObject([{ id: 2, type: "error", status: 404 }]);
  await one.subscriptions.add(3, "workspaces", {});
  await vi.advanceTimersByTimeAsync(100);
  one.take();
  source.set(undefined);
  await vi.advanceTimersByTimeAsync(100);
  expect(one.take()).toMatchObject([{ id: 3, type: "error", status: 404 }]);
  expect([one.subscriptions.size, feeds.size, source.watching]).toEqual([0, 0, 0]);
});

test("a read that fails ends the subscription and is reported", async () => {
  const source = new Source({ a: 1 });
  source.failing = true;
  const { feeds, browser } = setUp(source);
  const one = browser();
  failures.length = 0;
  await one.subscriptions.add(1, "workspaces", {});
  expect(one.take()).toMatchObject([{ id: 1, type: "error", status: 500 }]);
  expect([failures.length, feeds.size, one.subscriptions.size]).toEqual([1, 0, 0]);
});

test("security S25: a socket has at most 64 subscriptions, counted while their rights are being checked", async () => {
  const source = new Source({ a: 1 });
  const { browser, feeds } = setUp(source);
  const one = browser();
  const adding = Array.from({ length: MAX_SUBSCRIPTIONS + 1 }, (_, id) =>
    one.subscriptions.add(id, "workspaces", { id }),
  );
  await Promise.all(adding);
  expect(one.take().filter(({ type }) => type === "error")).toMatchObject([{ id: MAX_SUBSCRIPTIONS, status: 429 }]);
  one.subscriptions.remove(3);
  expect([one.subscriptions.size, feeds.size]).toEqual([MAX_SUBSCRIPTIONS - 1, MAX_SUBSCRIPTIONS - 1]);
  const late = one.subscriptions.add(3, "workspaces", { id: 3 });
  one.subscriptions.close();
  await late;
  expect([one.subscriptions.size, feeds.size]).toEqual([0, 0]);
});

test("a workspace that is deleted at any moment of the decision about its topic ends the subscription, unseen", async () => {
  const source = new Source({ a: 1 });
  const { feeds, browser } = setUp(source);
  for (let moment = 0; moment <= DECISION_TICKS + 3; moment++) {
    const one = browser();
    const adding = one.subscriptions.add(1, "workspaces", {});
    for (let i = 0; i < moment; i++) await Promise.resolve();
    one.events.publish({ kind: "workspace-deleted", workspaceId: "w", agentIds: [] });
    await adding;
    await vi.advanceTimersByTimeAsync(0);
    expect([moment, one.take().filter(({ type }) => type === "error"), one.subscriptions.size]).toMatchObject([
      moment,
      [{ id: 1, status: 404 }],
      0,
    ]);
  }
  expect([feeds.size, source.watching]).toEqual([0, 0]);
});
