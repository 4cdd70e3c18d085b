import { describe, expect, it } from "vitest";
import type { Replica } from "./cluster-database.ts";
import { ClusterWatch } from "./cluster-watch.ts";
import type { ServerRow } from "./rows.ts";

const ME = "me";
const replica = (id: string): Replica => ({
  id,
  hostname: `host-${id}`,
  relayAddress: "",
  regionId: 999,
  version: "1.2.3",
  startedAt: 0,
  error: "",
  databaseLatencyUs: 1,
});
const row = (id: string, more: Partial<ServerRow> = {}): ServerRow => ({
  id,
  replicaId: `${id}-replica`,
  head: 0,
  ageMs: 0,
  drainingMs: undefined,
  ...more,
});

function watching() {
  const news: string[] = [];
  const watch = new ClusterWatch((kind, { hostname, after_seconds, silent_seconds }) => {
    news.push([kind, hostname, after_seconds, silent_seconds].filter((part) => part !== undefined).join(" "));
  });
  let now = 0;
  const beat = (...rows: ServerRow[]): void => {
    now += 2_000;
    watch.heartbeats([row(ME, { replicaId: "me-replica" }), ...rows], ME, now);
  };
  const replicas = (...ids: string[]): void =>
    watch.replicas(["me-replica", ...ids.map((id) => `${id}-replica`)].map(replica), "me-replica");
  return { watch, news, beat, replicas };
}

describe("news of the servers", () => {
  it("begin with servers that join after this one", () => {
    const { news, beat, replicas } = watching();
    beat(row("a"));
    replicas("a");
    expect(news).toEqual([]);
    beat(row("a"), row("b"));
    replicas("a", "b");
    replicas("a", "b");
    expect(news).toEqual(["joined host-b-replica"]);
  });

  it("distinguish a loss from a stop, and say how long a server was away", () => {
    const { news, beat, replicas, watch } = watching();
    beat(row("a"), row("b"));
    replicas("a", "b");
    beat(row("a", { ageMs: 6_000 }), row("b", { drainingMs: 10 }));
    expect(watch.servers().map(({ state }) => state)).toEqual(["alive", "lost", "draining"]);
    // neither has updated its row since
    replicas();
    expect(news).toEqual(["lost host-a-replica 6", "left host-b-replica"]);
    beat(row("a", { ageMs: 8_000 }), row("b", { drainingMs: 2_000, ageMs: 8_000 }));
    beat(row("a"), row("b", { drainingMs: 4_000, ageMs: 10_000 }));
    expect(news.slice(2)).toEqual(["back host-a-replica 4"]);
    beat(row("a"));
    replicas("a");
    expect(watch.servers().map(({ id }) => id)).toEqual([ME, "a"]);
    expect(news).toHaveLength(3);
  });

  it("say nothing of a process that joins again under another id", () => {
    const { news, beat, replicas, watch } = watching();
    beat(row("a"));
    replicas("a");
    beat(row("a", { ageMs: 2_000 }), row("a2", { replicaId: "a-replica" }));
    expect(watch.servers().map(({ id }) => id)).toEqual([ME, "a2"]);
    expect(news).toEqual([]);
  });
});

describe("the lag behind a server", () => {
  it("is what was announced and not read", () => {
    const { beat, watch } = watching();
    const lag = () => watch.servers().map(({ id, head, seen }) => [id, head - seen]);
    beat(row("a", { head: 5 }));
    expect(lag()).toEqual([
      [ME, 0],
      ["a", 5],
    ]);
    watch.read("a", 3);
    watch.read("unknown", 9);
    expect(lag()[1]).toEqual(["a", 2]);
    watch.read("a", 7);
    expect(lag()[1]).toEqual(["a", 0]);
  });

  it("counts a change that came by a heartbeat instead of a hint, once, and only after the hint had time to arrive", () => {
    const { beat, watch } = watching();
    beat(row("a", { head: 5 }));
    watch.hinted("a", 6);
    beat(row("a", { head: 6 }));
    beat(row("a", { head: 6 }));
    expect(watch.recovered).toBe(0);
    // its hint may still be on the way
    beat(row("a", { head: 8 }));
    expect(watch.recovered).toBe(0);
    beat(row("a", { head: 9 }));
    expect(watch.recovered).toBe(1);
    watch.hinted("a", 9);
    beat(row("a", { head: 9 }));
    beat(row("a", { head: 9 }));
    expect(watch.recovered).toBe(1);
  });
});

it("remembers sixteen faults, each with its count and its last time", () => {
  const { watch } = watching();
  for (let i = 0; i < 20; i++) watch.failed(`fault ${i}`, i);
  watch.failed("fault 10", 99);
  expect(watch.faults).toHaveLength(16);
  expect(watch.faults.at(-1)).toEqual({ what: "fault 10", count: 2, lastAtMs: 99 });
  expect(watch.faults[0]).toMatchObject({ what: "fault 4" });
});
