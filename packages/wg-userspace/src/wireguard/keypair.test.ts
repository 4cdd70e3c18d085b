import { describe, expect, test } from "vitest";
import { instant } from "../base/instant.ts";
import { Keypair, Keypairs, MESSAGE_LIMITS } from "./keypair.ts";

function keypair(name: number): Keypair {
  const keys = { send: new Uint8Array(32).fill(name), receive: new Uint8Array(32).fill(name) };
  return new Keypair(keys, true, name, name, instant(0));
}

/** Slots as [previous, current, next], by name. */
function slots(keypairs: Keypairs): (number | undefined)[] {
  return [keypairs.previous, keypairs.current, keypairs.next].map((each) => each?.localIndex);
}

type Event = readonly ["initiated" | "responded" | "received", number];

describe("Keypairs", () => {
  const none = undefined;
  test.each<[string, readonly Event[], (number | undefined)[], number[]]>([
    ["the first session we began", [["initiated", 1]], [none, 1, none], []],
    ["the first session we answered waits for a message", [["responded", 1]], [none, none, 1], []],
    [
      "a message confirms it",
      [
        ["responded", 1],
        ["received", 1],
      ],
      [none, 1, none],
      [],
    ],
    [
      "a renewal keeps the old session to receive",
      [
        ["initiated", 1],
        ["initiated", 2],
      ],
      [1, 2, none],
      [],
    ],
    [
      "a second renewal drops it",
      [
        ["initiated", 1],
        ["initiated", 2],
        ["initiated", 3],
      ],
      [2, 3, none],
      [1],
    ],
    [
      "answering keeps current and drops previous",
      [
        ["initiated", 1],
        ["initiated", 2],
        ["responded", 3],
      ],
      [none, 2, 3],
      [1],
    ],
    [
      "answering again drops the unconfirmed one",
      [
        ["initiated", 1],
        ["responded", 2],
        ["responded", 3],
      ],
      [none, 1, 3],
      [2],
    ],
    [
      "confirmation moves current to previous",
      [
        ["initiated", 1],
        ["responded", 2],
        ["received", 2],
      ],
      [1, 2, none],
      [],
    ],
    [
      "messages on current and previous change nothing",
      [
        ["initiated", 1],
        ["initiated", 2],
        ["received", 1],
        ["received", 2],
      ],
      [1, 2, none],
      [],
    ],
    [
      "both began at once: theirs becomes previous, the old current goes",
      [
        ["initiated", 1],
        ["responded", 2],
        ["initiated", 3],
      ],
      [2, 3, none],
      [1],
    ],
  ])("%s", (_name, events, expectedSlots, expectedDropped) => {
    const dropped: Keypair[] = [];
    const keypairs = new Keypairs(false, (each) => dropped.push(each));
    const made = new Map<number, Keypair>();
    for (const [kind, name] of events) {
      const each = made.get(name) ?? keypair(name);
      made.set(name, each);
      if (kind === "initiated") keypairs.installInitiated(each);
      else if (kind === "responded") keypairs.installResponded(each);
      else keypairs.promote(each);
    }
    expect(slots(keypairs)).toEqual(expectedSlots);
    expect(dropped.map((each) => each.localIndex)).toEqual(expectedDropped);
    for (const each of made.values()) {
      const isGone = dropped.includes(each);
      expect(each.wiped).toBe(isGone);
      expect(each.sendKey.every((byte) => byte === 0)).toBe(isGone);
      expect(each.receiveKey.every((byte) => byte === 0)).toBe(isGone);
    }
  });

  test("after simultaneous handshakes the side that yields switches once it receives on the other's session", () => {
    const dropped: Keypair[] = [];
    for (const yields of [false, true]) {
      const keypairs = new Keypairs(yields, (each) => dropped.push(each));
      const [theirs, ours] = [keypair(1), keypair(2)];
      keypairs.installResponded(theirs);
      keypairs.installInitiated(ours);
      expect(keypairs.promote(theirs)).toBe(false);
      expect(slots(keypairs)).toEqual(yields ? [2, 1, undefined] : [1, 2, undefined]);
      expect(keypairs.promote(ours)).toBe(false);
      expect(slots(keypairs)).toEqual(yields ? [2, 1, undefined] : [1, 2, undefined]);
    }
    expect(dropped).toEqual([]);
  });

  test("security 29: wiping all leaves no key behind", () => {
    const dropped: Keypair[] = [];
    const keypairs = new Keypairs(false, (each) => dropped.push(each));
    const all = [keypair(1), keypair(2), keypair(3)] as const;
    keypairs.installInitiated(all[0]);
    keypairs.installInitiated(all[1]);
    keypairs.installResponded(all[2]);
    keypairs.wipeAll();
    expect(slots(keypairs)).toEqual([undefined, undefined, undefined]);
    expect(all.every((each) => each.wiped && each.sendKey.every((byte) => byte === 0))).toBe(true);
  });
});

describe("Keypair", () => {
  test("security 29: may send until it is 180 s old or its counter is used up", () => {
    const each = keypair(1);
    expect(each.canSend(instant(179_999), MESSAGE_LIMITS)).toBe(true);
    expect(each.canSend(instant(180_000), MESSAGE_LIMITS)).toBe(false);
    each.sendCounter = Number.MAX_SAFE_INTEGER;
    expect(each.canSend(instant(0), MESSAGE_LIMITS)).toBe(false);
  });
});
