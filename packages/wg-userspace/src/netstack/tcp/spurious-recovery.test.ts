import { describe, expect, test } from "vitest";
import { SpuriousRecovery } from "./spurious-recovery.ts";

function episode(retransmitAt?: number, conclusive = true): SpuriousRecovery {
  const spurious = new SpuriousRecovery();
  spurious.begin();
  if (retransmitAt !== undefined) spurious.onRetransmit(retransmitAt, conclusive, true);
  return spurious;
}

describe("a recovery", () => {
  test("was needless when the answer echoes a time before its retransmission (RFC 3522)", () => {
    expect(episode(100.7).onAck(99, false)).toBe(true);
    // A timestamp has whole ms: one of the same ms may be that of the retransmission.
    expect(episode(100.7).onAck(100, false)).toBe(false);
    expect(episode(100.7).onAck(-1, false)).toBe(false);
    expect(episode(100.7, false).onAck(99, false)).toBe(false);
  });

  test("is judged by the first retransmission and the first answer only", () => {
    const twice = episode(100);
    twice.onRetransmit(200, false, true);
    expect([twice.onAck(150, true), twice.onAck(50, true)]).toEqual([false, false]);
  });

  test("was needless when everything arrived before any retransmission", () => {
    const spurious = episode();
    expect([spurious.onAck(50, false), spurious.onAck(50, true)]).toEqual([false, true]);
    expect(new SpuriousRecovery().onAck(50, true)).toBe(false);
  });

  test("was needless when a DSACK answers every retransmission", () => {
    const spurious = episode(100);
    spurious.onRetransmit(110, true, true);
    expect([spurious.onDsack(), spurious.onDsack(), spurious.onDsack()]).toEqual([false, true, false]);
    expect(new SpuriousRecovery().onDsack()).toBe(false);
    expect(episode().onDsack()).toBe(false);
  });

  test("does not count retransmissions outside of it", () => {
    const spurious = episode(100);
    spurious.onRetransmit(500, true, false);
    expect(spurious.onDsack()).toBe(true);
  });

  test("of another path is not undone", () => {
    const spurious = episode(100);
    spurious.forbid();
    spurious.onRetransmit(120, true, true);
    expect([spurious.onAck(50, true), spurious.onDsack()]).toEqual([false, false]);
    spurious.begin();
    spurious.onRetransmit(200, true, true);
    expect(spurious.onAck(199, false)).toBe(true);
  });
});
