import { describe, expect, it } from "vitest";
import type { ServerRow } from "./rows.ts";
import { ClusterView } from "./view.ts";

const DEAD = "dead";
const PEER = "00000000-0000-4000-8000-000000000001";

/** A server that sees one peer of another server, whose last heartbeat was at 0. */
function scene() {
  const gone: number[] = [];
  let nowMs = 0;
  const view = new ClusterView("me", {
    remotePeer: () => undefined,
    remoteGone: () => void gone.push(nowMs),
    remoteTunnel: () => undefined,
    remoteSignal: () => undefined,
    moved: () => undefined,
    tunnelsOf: () => [],
    concerns: () => false,
  });
  const dead = (ageMs: number): ServerRow => ({
    id: DEAD,
    replicaId: DEAD,
    head: 1,
    ageMs,
    drainingMs: undefined,
  });
  view.heartbeats([dead(0)], 0);
  const peer = { id: PEER, rev: 1, state: "here", kind: "client", session: 1, key: undefined, reason: "" } as const;
  view.read(DEAD, { peers: [peer], tunnels: [], signals: [] }, 1, 0);
  return {
    view,
    gone,
    /** Gives this server heartbeats at these times; the other one is silent, or was last seen `ageMs` ago. */
    beats: (times: readonly number[], ageMs?: number): void => {
      for (const at of times) {
        nowMs = at;
        view.heartbeats([dead(ageMs ?? at)], at);
      }
    },
  };
}

describe("a server whose own heartbeats had a gap", () => {
  it("waits 8 s before it considers another one lost, because the database may have been away from all", () => {
    const { beats, gone } = scene();
    beats([20_000, 22_000, 24_000, 26_000]);
    expect(gone).toEqual([]);
    beats([28_000]);
    expect(gone).toEqual([28_000]);
  });

  it.each([4_600, 6_000, 10_000, 15_000])(
    "considers a dead one lost although each heartbeat comes %i ms late",
    (gapMs) => {
      const { beats, gone } = scene();
      beats(Array.from({ length: 20 }, (_, i) => (i + 1) * gapMs));
      expect(gone).toHaveLength(1);
      expect(gone[0]).toBeLessThanOrEqual(4 * gapMs);
    },
  );

  it("waits again after another outage that comes later", () => {
    const { beats, gone } = scene();
    beats([20_000], 0);
    beats([22_000, 24_000, 26_000, 28_000, 30_000], 0);
    beats([50_000, 52_000, 56_000]);
    expect(gone).toEqual([]);
    beats([58_000]);
    expect(gone).toEqual([58_000]);
  });
});

describe("a comparison with everything that the database has of a server", () => {
  const TO = "00000000-0000-4000-8000-000000000002";
  const row = { id: PEER, rev: 3, state: "here", kind: "client", session: 1, key: undefined, reason: "" } as const;
  const tunnel = { from: PEER, to: TO, rev: 4, gone: false } as const;

  /** A view that has read all changes of the other server, up to number 4. */
  function known() {
    const news: string[] = [];
    const view = new ClusterView("me", {
      remotePeer: (id) => void news.push(`here ${id}`),
      remoteGone: (id, end) => void news.push(`${end} ${id}`),
      remoteTunnel: (from, to, gone) => void news.push(`${gone ? "no " : ""}tunnel ${from} ${to}`),
      remoteSignal: () => undefined,
      moved: () => undefined,
      tunnelsOf: () => [],
      concerns: () => false,
    });
    view.heartbeats([{ id: DEAD, replicaId: DEAD, head: 4, ageMs: 0, drainingMs: undefined }], 0);
    view.read(DEAD, { peers: [row], tunnels: [tunnel], signals: [] }, 4, 0);
    news.length = 0;
    return { view, news };
  }

  it("changes nothing where both agree", () => {
    const { view, news } = known();
    expect(view.reconcile(DEAD, { peers: [row], tunnels: [tunnel], head: 4, isComplete: true }, 0)).toBe(0);
    expect(news).toEqual([]);
  });

  it("leaves changes that are not read yet to the read", () => {
    const { view, news } = known();
    const later = {
      peers: [{ ...row, rev: 5 }],
      tunnels: [{ ...tunnel, rev: 6, gone: true }],
      head: 6,
      isComplete: true,
    };
    expect(view.reconcile(DEAD, later, 0)).toBe(0);
    const others = [{ ...row, id: TO, rev: 5 }];
    expect(view.reconcile(DEAD, { peers: [row, ...others], tunnels: [tunnel], head: 6, isComplete: true }, 0)).toBe(0);
    expect(news).toEqual([]);
  });

  it("forgets rows that are not there any more", () => {
    const { view, news } = known();
    expect(view.reconcile(DEAD, { peers: [row], tunnels: [], head: 4, isComplete: true }, 0)).toBe(1);
    expect(news).toEqual([`no tunnel ${PEER} ${TO}`]);
    expect(view.reconcile(DEAD, { peers: [], tunnels: [], head: 4, isComplete: true }, 0)).toBe(1);
    expect(news.slice(1)).toEqual([`disconnected ${PEER}`]);
  });

  it("forgets nothing because a row is not valid", () => {
    const { view, news } = known();
    expect(view.reconcile(DEAD, { peers: [], tunnels: [], head: 4, isComplete: false }, 0)).toBe(0);
    expect(news).toEqual([]);
  });

  it("finds ends and tunnels that were lost on the way", () => {
    const { view, news } = known();
    const ended = { ...row, rev: 4, state: "lost", reason: "lost" } as const;
    expect(
      view.reconcile(DEAD, { peers: [ended], tunnels: [{ ...tunnel, gone: true }], head: 4, isComplete: true }, 0),
    ).toBe(2);
    expect(news).toEqual([`lost ${PEER}`, `no tunnel ${PEER} ${TO}`]);
  });

  it("takes nothing from a database that was restored to an earlier state", () => {
    const { view, news } = known();
    expect(view.reconcile(DEAD, { peers: [], tunnels: [], head: 3, isComplete: true }, 0)).toBe(0);
    expect(news).toEqual([]);
  });
});
