import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { watchLiveness } from "./liveness.ts";

describe("liveness", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** A peer that answers pings while `reachable`, and was heard at the start. */
  function peer() {
    const state = { reachable: true, heardAt: performance.now(), pings: 0 };
    const events: string[] = [];
    const stop = watchLiveness({
      target: {
        heardAgeMs: () => performance.now() - state.heardAt,
        ping: async ({ signal }) => {
          state.pings++;
          if (state.reachable) state.heardAt = performance.now();
          else await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        },
      },
      askAfterMs: 3_000,
      silentAfterMs: 5_000,
      onSilent: (forMs) => events.push(`silent for ${Math.round(forMs / 1000)} s`),
      onHeard: (afterMs) => events.push(`heard after ${Math.round(afterMs / 1000)} s`),
    });
    return { state, events, stop };
  }

  it("pings a quiet peer and reports nothing while it answers", async () => {
    const { state, events, stop } = peer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events).toEqual([]);
    expect(state.pings).toBeGreaterThan(10);
    expect(state.pings).toBeLessThan(22);
    stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(state.pings).toBeLessThan(22);
  });

  it("does not ping a peer that sends", async () => {
    const { state, events, stop } = peer();
    const talking = setInterval(() => {
      state.heardAt = performance.now();
    }, 500);
    await vi.advanceTimersByTimeAsync(30_000);
    expect([state.pings, events]).toEqual([0, []]);
    clearInterval(talking);
    stop();
  });

  it("is not woken by a peer that sends more often than it would be asked", async () => {
    let looks = 0;
    const stop = watchLiveness({
      target: { heardAgeMs: () => 0 * ++looks, ping: async () => undefined },
      askAfterMs: 15_000,
      silentAfterMs: 20_000,
      onSilent: () => undefined,
      onHeard: () => undefined,
    });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(looks).toBeLessThanOrEqual(240);
    stop();
  });

  it("reports a silence once, and its end with its length", async () => {
    const { state, events, stop } = peer();
    state.reachable = false;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(events).toEqual(["silent for 5 s"]);
    state.reachable = true;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(events).toHaveLength(2);
    expect(events[1]).toMatch(/^heard after 3[0-6] s$/);
    stop();
  });
});
