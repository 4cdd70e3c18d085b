import { describe, expect, it } from "vitest";
import { Redial } from "./redial.ts";

const middle = () => 0.5;
const redial = (limitMs = 10_000, random: () => number = middle) => new Redial({ limitMs, random });

describe("the pause before a connection is dialled again", () => {
  it("is random up to a second at first, so that many clients do not return together", () => {
    const first = [0, 0.25, 0.999].map((value) => redial(10_000, () => value).ended(0));
    expect(first).toEqual([0, 250, 999]);
  });

  it("grows by 1.6 up to its limit", () => {
    const pauses = redial();
    const waits = Array.from({ length: 8 }, () => Math.round(pauses.ended(0)));
    expect(waits).toEqual([500, 1_600, 2_560, 4_096, 6_554, 10_000, 10_000, 10_000]);
  });

  it("stays long after connections that were accepted and ended at once", () => {
    const pauses = redial();
    pauses.ended(0);
    pauses.ended(0);
    for (let at = 0, i = 0; i < 3; i++, at += 20_000) {
      pauses.opened(at);
      expect(pauses.ended(at + 9_999)).toBeGreaterThan(2_000);
    }
  });

  it("stays long however long dialling took", () => {
    const pauses = redial();
    pauses.ended(0);
    expect(pauses.ended(60_000)).toBe(1_600);
  });

  it("is short again after a connection that lasted ten seconds", () => {
    const pauses = redial();
    for (let i = 0; i < 5; i++) pauses.ended(0);
    pauses.opened(1_000);
    expect(pauses.ended(11_000)).toBe(500);
  });

  it("is left out once for a connection that the server ended alone", () => {
    const pauses = redial();
    pauses.opened(0);
    expect([pauses.ended(10_000, true), pauses.ended(10_000, true)]).toEqual([0, 1_600]);
  });

  it("keeps to a limit below a second", () => {
    expect(redial(100, () => 0.999).ended(0)).toBe(100);
  });
});
