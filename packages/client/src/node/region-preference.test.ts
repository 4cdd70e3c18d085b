import { describe, expect, it } from "vitest";
import { addMs, type Instant, instant } from "wg-userspace/base/instant";
import { type DerpMap, derpMapOf, relayNode } from "wg-userspace/derp/map";
import {
  FIRST_RETURN_MS,
  MAX_RETURN_MS,
  type PreferenceChange,
  RETURN_WAIT_RESET_MS,
  RegionPreference,
} from "./region-preference.ts";
import { ANSWER_LIMIT_MS } from "./relay-choice.ts";

const NEAR = 2;

function mapOf(...ids: number[]): DerpMap {
  return derpMapOf(
    ids.map((regionId) => ({
      regionId,
      regionCode: regionId === NEAR ? "coder_near" : `r${regionId}`,
      regionName: `Region ${regionId}`,
      embeddedRelay: false,
      avoid: false,
      nodes: [relayNode({ name: `${regionId}a`, regionId, hostName: "relay.example" })],
    })),
  );
}

/** A preference for the region "near" in virtual time. */
class Scene {
  readonly preference = new RegionPreference("near");
  readonly changes: string[] = [];
  now: Instant = instant(1_000_000);

  map(...ids: number[]): void {
    this.#note(this.preference.handleMap(mapOf(...ids), this.now));
  }
  ready(regionId = NEAR): void {
    this.#note(this.preference.relayReady(regionId, this.now));
  }
  lost(regionId = NEAR): void {
    this.preference.relayLost(regionId, this.now);
  }
  /** Advances the time from deadline to deadline. */
  pass(ms: number): void {
    const end = addMs(this.now, ms);
    for (;;) {
      const next = this.preference.nextTimeout();
      if (next === undefined || next > end) break;
      if (next > this.now) this.now = next;
      this.#note(this.preference.handleTimeout(this.now));
      const after = this.preference.nextTimeout();
      if (after !== undefined && after <= this.now) throw new Error("a deadline stays in the past");
    }
    this.now = end;
  }
  take(): string[] {
    return this.changes.splice(0);
  }
  #note(change: PreferenceChange | undefined): void {
    if (change !== undefined) this.changes.push(change.kind === "fallback" ? change.why : change.kind);
  }
}

function sceneOf(...ids: number[]): Scene {
  const scene = new Scene();
  scene.map(...ids);
  return scene;
}

/** A region whose relay answered and then stayed away until the fallback. */
function fallenBack(): Scene {
  const scene = sceneOf(1, NEAR);
  scene.ready();
  scene.lost();
  scene.pass(ANSWER_LIMIT_MS);
  expect(scene.take()).toEqual(["no-answer"]);
  return scene;
}

describe("the region that a person named", () => {
  it("is the home at once, and stays it while its relay answers", () => {
    const scene = sceneOf(1, NEAR);
    expect(scene.preference.home).toBe(NEAR);
    scene.pass(ANSWER_LIMIT_MS - 1);
    scene.ready();
    scene.pass(60 * 60_000);
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, []]);
  });

  it("is left when its relay does not answer within the limit, and only then", () => {
    const scene = sceneOf(1, NEAR);
    scene.ready(1);
    scene.pass(ANSWER_LIMIT_MS - 1);
    expect(scene.take()).toEqual([]);
    scene.pass(1);
    expect([scene.preference.home, scene.take()]).toEqual([undefined, ["no-answer"]]);
    expect([...scene.preference.choices(mapOf(1, NEAR)).regions.keys()]).toEqual([1]);
  });

  it("is not left for a connection that is back in time", () => {
    const scene = sceneOf(1, NEAR);
    scene.ready();
    scene.lost();
    scene.lost(1);
    scene.pass(ANSWER_LIMIT_MS - 1);
    scene.ready();
    scene.pass(60_000);
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, []]);
  });

  it("gets no further time from a relay map that comes while it is waited for", () => {
    const scene = sceneOf(1, NEAR);
    scene.pass(ANSWER_LIMIT_MS - 1);
    scene.map(1, NEAR, 3);
    scene.pass(1);
    expect(scene.take()).toEqual(["no-answer"]);
  });

  it("is kept where there is no other relay, until there is one", () => {
    const scene = sceneOf(NEAR);
    scene.pass(60_000);
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, []]);
    scene.map(1, NEAR);
    scene.pass(ANSWER_LIMIT_MS);
    expect(scene.take()).toEqual(["no-answer"]);
    scene.map(NEAR);
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, ["return"]]);
  });

  it("is left at once when the map does not have it, and dialled when the map has it again", () => {
    const scene = sceneOf(1);
    expect([scene.preference.home, scene.take()]).toEqual([undefined, ["not-in-map"]]);
    scene.pass(10 * FIRST_RETURN_MS);
    scene.map(1);
    expect([scene.preference.nextTimeout(), scene.take()]).toEqual([undefined, []]);
    scene.map(1, NEAR);
    scene.pass(0);
    expect([scene.preference.home, scene.take()]).toEqual([undefined, ["dial"]]);
    scene.ready();
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, ["return"]]);
  });
});

describe("the return to it", () => {
  it("waits for the relay, which is dialled again and again", () => {
    const scene = fallenBack();
    scene.pass(FIRST_RETURN_MS - 1);
    expect(scene.take()).toEqual([]);
    scene.pass(1 + 4 * FIRST_RETURN_MS);
    expect([scene.preference.home, scene.take()]).toEqual([undefined, ["dial", "dial", "dial"]]);
    scene.ready();
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, ["return"]]);
  });

  it("is not sooner than its time, even where the relay answers before, and not at all where it went again", () => {
    const scene = fallenBack();
    scene.ready();
    scene.pass(FIRST_RETURN_MS - 1);
    expect(scene.take()).toEqual([]);
    scene.pass(1);
    expect([scene.preference.home, scene.take()]).toEqual([NEAR, ["return"]]);

    const other = fallenBack();
    other.ready();
    other.lost();
    other.pass(FIRST_RETURN_MS);
    expect(other.take()).toEqual(["dial"]);
  });

  it("takes longer after each fallback, up to a limit, and less after a long time of service", () => {
    const scene = fallenBack();
    const waits: number[] = [];
    for (let round = 0; round < 7; round++) {
      scene.ready();
      const fellBackAt = scene.now;
      waits.push(scene.preference.nextTimeout()! - fellBackAt);
      scene.pass(waits.at(-1)!);
      scene.lost();
      scene.pass(ANSWER_LIMIT_MS);
      expect(scene.take()).toEqual(["return", "no-answer"]);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 20, 20].map((times) => times * FIRST_RETURN_MS));
    expect(waits.at(-1)).toBe(MAX_RETURN_MS);
    scene.ready();
    scene.pass(MAX_RETURN_MS + RETURN_WAIT_RESET_MS);
    scene.lost();
    scene.pass(ANSWER_LIMIT_MS);
    expect(scene.preference.nextTimeout()! - scene.now).toBe(FIRST_RETURN_MS);
  });

  it("forgets what was known of the relay when the map replaced its region", () => {
    const scene = fallenBack();
    scene.ready();
    scene.map(1);
    scene.map(1, NEAR);
    scene.pass(FIRST_RETURN_MS);
    expect([scene.preference.home, scene.take()]).toEqual([undefined, ["dial"]]);
  });
});
