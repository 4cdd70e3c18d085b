import { describe, expect, it } from "vitest";
import { Isolation } from "./isolation.ts";

/** A server in virtual time. `siblings` says whether one of them is ready; undefined if they do not answer at all. */
class World {
  nowMs = 0;
  siblings: boolean | undefined = false;
  /** Whether everything is read after each heartbeat. */
  reads = true;
  readonly happened: string[] = [];
  readonly isolation: Isolation;

  constructor() {
    const note = (what: string) => (): void => void this.happened.push(`${this.nowMs} ${what}`);
    this.isolation = new Isolation(
      {
        isolated: note("isolated"),
        ask: () => {
          if (this.siblings !== undefined) this.isolation.answered(this.siblings, this.nowMs);
        },
        shed: note("shed"),
        keep: note("keep"),
        freeze: note("freeze"),
        back: (ms) => note(`back after ${ms}`)(),
        settled: note("settled"),
      },
      0,
    );
  }

  /** Lets time pass; the database answers every 2 s, or not at all. */
  pass(ms: number, isDatabaseThere: boolean): void {
    const until = this.nowMs + ms;
    for (let beatMs = this.nowMs + 2_000; ; ) {
      const nextMs = Math.min(this.isolation.nextTimeout(), isDatabaseThere ? beatMs : until, until);
      this.nowMs = Math.max(nextMs, this.nowMs);
      if (this.nowMs >= until) break;
      if (isDatabaseThere && this.nowMs === beatMs) {
        beatMs += 2_000;
        this.isolation.heartbeat(this.nowMs);
        if (this.reads) this.isolation.caughtUp(this.nowMs);
      } else if (!isDatabaseThere) this.isolation.failed();
      this.isolation.handleTimeout(this.nowMs);
    }
  }
}

describe("a server whose database does not answer", () => {
  it("does nothing for 6 s, and nothing at all when an answer comes before", () => {
    const world = new World();
    world.pass(5_999, false);
    expect(world.isolation.state).toBe("healthy");
    world.isolation.failed();
    expect(world.isolation.state).toBe("doubtful");
    world.isolation.heartbeat(world.nowMs);
    expect(world.isolation.state).toBe("healthy");
    world.pass(60_000, true);
    expect(world.happened).toEqual([]);
  });

  it("is isolated after 6 s, also when no query comes back to fail", () => {
    const world = new World();
    world.isolation.handleTimeout(6_000);
    expect(world.isolation.state).toBe("isolated");
  });

  it("keeps everything while no sibling is ready, however long", () => {
    const world = new World();
    world.pass(14 * 60_000, false);
    expect(world.happened).toEqual(["6000 isolated"]);
  });

  it("sheds once a sibling is ready, and keeps what is left when that one is not any more", () => {
    const world = new World();
    world.pass(7_000, false);
    world.siblings = true;
    world.pass(6_000, false);
    world.siblings = false;
    world.pass(5_000, false);
    expect(world.happened).toEqual(["6000 isolated", "12000 shed", "14000 keep"]);
  });

  it("sheds once a sibling has been ready for four seconds", () => {
    const world = new World();
    world.siblings = true;
    world.pass(11_000, false);
    expect(world.happened).toEqual(["6000 isolated", "10000 shed"]);
  });

  it("sheds nothing to a sibling that finds out a little later that it is without the database, too", () => {
    const world = new World();
    world.siblings = true;
    world.pass(9_000, false);
    world.siblings = false;
    world.pass(60_000, false);
    expect(world.happened).toEqual(["6000 isolated"]);
  });

  it("asks no further question while one is not answered", () => {
    const world = new World();
    world.siblings = undefined;
    world.pass(60_000, false);
    expect(world.isolation.nextTimeout()).toBe(15 * 60_000);
    world.isolation.answered(true, world.nowMs);
    world.isolation.answered(true, world.nowMs + 4_000);
    expect(world.isolation.state).toBe("shedding");
  });

  it("security R14: freezes once after 15 min", () => {
    const world = new World();
    world.pass(40 * 60_000, false);
    expect(world.happened).toEqual(["6000 isolated", "900000 freeze"]);
  });

  it("is healthy 2 s after the database is back, and isolated again when it leaves before", () => {
    const world = new World();
    world.pass(10_000, false);
    world.pass(10_000, true);
    expect(world.happened).toEqual(["6000 isolated", "12000 back after 12000", "14000 settled"]);
    expect(world.isolation.state).toBe("healthy");
  });

  it("is isolated again when the database leaves while it settles", () => {
    const world = new World();
    world.pass(10_000, false);
    world.isolation.heartbeat(10_000);
    world.pass(1_000, false);
    expect(world.isolation.state).toBe("settling");
    world.pass(20_000, false);
    world.isolation.caughtUp(10_000); // too late
    expect(world.happened).toEqual(["6000 isolated", "10000 back after 10000", "16000 isolated"]);
  });

  it("security R14: settles only once everything has been read since the database is back, however long that takes", () => {
    const world = new World();
    world.reads = false;
    world.pass(10_000, false);
    world.pass(30_000, true);
    expect(world.isolation.state).toBe("settling");
    world.isolation.caughtUp(11_999); // a read that began before the first heartbeat
    expect(world.isolation.state).toBe("settling");
    world.isolation.caughtUp(12_000);
    expect(world.happened).toEqual(["6000 isolated", "12000 back after 12000", "40000 settled"]);
    world.pass(10_000, true);
    expect(world.happened).toHaveLength(3);
  });

  it("leaves peers 2 s to be connected elsewhere, also when everything is read at once", () => {
    const world = new World();
    world.pass(10_000, false);
    world.isolation.heartbeat(10_000);
    world.isolation.caughtUp(10_000);
    world.pass(1_999, false);
    expect(world.isolation.state).toBe("settling");
    world.pass(2, false);
    expect(world.happened.at(-1)).toBe("12000 settled");
  });

  it("ignores answers that come late", () => {
    const world = new World();
    world.siblings = undefined;
    world.pass(7_000, false);
    world.isolation.heartbeat(world.nowMs);
    world.isolation.answered(true, world.nowMs);
    expect(world.happened).toEqual(["6000 isolated", "7000 back after 7000"]);
  });
});
