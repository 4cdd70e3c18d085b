import { beforeEach, describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { Scoreboard } from "./scoreboard.ts";

const at = instant;

let board: Scoreboard;
beforeEach(() => {
  board = new Scoreboard();
});

/** Records of ten bytes, sent at 0, 1, 2 … ms. */
function send(count: number, from = 0): void {
  for (let i = from; i < from + count; i++) board.append(10 * i, 10 * i + 10, at(i));
}
function sack(now: number, ...blocks: (readonly [left: number, right: number])[]): void {
  board.beginAck();
  for (const [left, right] of blocks) board.addSackBlock(left, right);
  board.applySack(at(now), -1, 0);
}
/** The starts of all lost records in the order in which they are sent again. */
function resend(now: number): number[] {
  const order: number[] = [];
  for (let index = board.nextLost(); index >= 0; index = board.nextLost()) {
    order.push(board.start(index));
    board.retransmitted(index, at(now));
  }
  return order;
}

describe("what is outstanding", () => {
  test("is known by index, first and last", () => {
    expect([board.empty, board.length, board.hasLost, board.nextLost()]).toEqual([true, 0, false, -1]);
    send(20);
    expect([board.empty, board.length, board.inFlight]).toEqual([false, 20, 200]);
    expect([board.first, board.last]).toEqual([0, 19]);
    expect([board.start(7), board.end(7), board.sentAt(7)]).toEqual([70, 80, 7]);
    board.acknowledge(50, at(100), -1, 0);
    expect([board.first, board.last, board.inFlight, board.delivered]).toEqual([5, 19, 150, 50]);
    send(40, 20);
    expect([board.start(5), board.start(59), board.sentAt(59)]).toEqual([50, 590, 59]);
  });

  test("survives growing to thousands and giving the memory back", () => {
    send(3_000);
    board.acknowledge(29_000, at(5_000), -1, 0);
    send(500, 3_000);
    expect([board.length, board.inFlight]).toEqual([600, 6_000]);
    for (let i = board.first; i <= board.last; i++) expect([board.start(i), board.sentAt(i)]).toEqual([10 * i, i]);
    board.acknowledge(35_000, at(5_000), -1, 0);
    expect([board.empty, board.inFlight]).toEqual([true, 0]);
    send(30, 3_500);
    expect([board.length, board.start(board.first), board.end(board.last)]).toEqual([30, 35_000, 35_300]);
  });

  test("shrinks by a part of the first record, be it in flight, lost or SACKed", () => {
    send(3);
    board.beginAck();
    board.acknowledge(4, at(10), -1, 0);
    expect([board.delivered, board.inFlight, board.start(board.first), board.length]).toEqual([4, 26, 4, 3]);
    board.markLost(board.first);
    board.beginAck();
    board.acknowledge(6, at(10), -1, 0);
    expect([board.delivered, board.inFlight, board.lostBytes]).toEqual([2, 20, 4]);
    sack(11, [10, 20]);
    board.acknowledge(15, at(12), -1, 0);
    board.beginAck();
    board.acknowledge(17, at(12), -1, 0);
    expect([board.delivered, board.inFlight, board.lostBytes, board.sackedCount]).toEqual([0, 10, 0, 1]);
  });

  test("is empty after clear()", () => {
    send(20);
    sack(30, [50, 100]);
    board.markLost(board.first);
    board.clear();
    expect([board.length, board.inFlight, board.lostBytes, board.sackedCount, board.hasLost]).toEqual([
      0,
      0,
      0,
      0,
      false,
    ]);
    send(9);
    expect([board.first, board.inFlight, board.detectLosses(at(1_000), 0)]).toEqual([0, 90, -1]);
    sack(40, [50, 60]);
    expect(board.newlySacked).toBe(10); // what had been SACKed before is forgotten
  });
});

describe("selective acknowledgments", () => {
  test("cover whole records only, each counted once", () => {
    send(10);
    sack(20, [15, 45]);
    expect([board.newlySacked, board.sackedCount, board.delivered, board.inFlight]).toEqual([20, 2, 20, 80]);
    sack(21, [15, 45]);
    expect([board.newlySacked, board.delivered]).toEqual([0, 0]);
    sack(22, [10, 60]);
    expect([board.newlySacked, board.sackedCount]).toEqual([30, 5]);
    board.acknowledge(100, at(30), -1, 0);
    expect([board.sackedCount, board.empty, board.inFlight]).toEqual([0, true, 0]);
  });

  test("are read up to four blocks", () => {
    send(20);
    sack(30, [10, 20], [30, 40], [50, 60], [70, 80], [90, 100]);
    expect(board.newlySacked).toBe(40);
    sack(31, [90, 100], [70, 80], [50, 60], [30, 40]);
    expect(board.newlySacked).toBe(10);
  });

  test("that grow at either end, or both, add what is new", () => {
    send(20);
    sack(30, [50, 80]);
    sack(31, [50, 100]);
    expect(board.newlySacked).toBe(20);
    sack(32, [30, 100]);
    expect(board.newlySacked).toBe(20);
    sack(33, [10, 120]);
    expect(board.newlySacked).toBe(40);
    expect(board.sackedCount).toBe(11);
  });

  test("of records deemed lost take them off the list", () => {
    send(6);
    for (const index of [1, 2, 3]) board.markLost(index);
    sack(20, [20, 30]);
    expect([board.lostBytes, board.inFlight, board.isLost(2)]).toEqual([20, 30, false]);
    expect(resend(21)).toEqual([10, 30]);
  });
});

describe("lost records", () => {
  test("are sent again in the order they were found, the left edge before all", () => {
    send(8);
    for (const index of [5, 3, 6, 0]) board.markLost(index);
    expect([board.lostBytes, board.newlyLost, board.inFlight]).toEqual([40, 40, 40]);
    expect(resend(50)).toEqual([0, 50, 30, 60]);
    expect([board.lostBytes, board.inFlight, board.hasLost]).toEqual([0, 80, false]);
    expect([0, 1, 3].map((index) => board.wasRetransmitted(index))).toEqual([true, false, true]);
    expect([board.sentAt(3), board.isLost(3)]).toEqual([50, false]);
  });

  test("count once, and a SACKed record is never lost", () => {
    send(3);
    board.markLost(1);
    board.markLost(1);
    sack(10, [20, 30]);
    board.markLost(2);
    expect([board.lostBytes, board.inFlight]).toEqual([10, 10]);
    board.retransmitted(2, at(20));
    expect([board.sentAt(2), board.wasRetransmitted(2), board.inFlight]).toEqual([2, false, 10]);
  });

  test("leave the list when acknowledged, wherever they stand in it", () => {
    send(4);
    for (const index of [2, 0, 1]) board.markLost(index);
    board.acknowledge(20, at(9), -1, 0);
    expect([board.lostBytes, board.inFlight]).toEqual([10, 10]);
    expect(resend(10)).toEqual([20]);
  });

  test("longer than the path carries are found by their length; those of exactly that length are not", () => {
    board.append(0, 10, at(0));
    board.append(10, 30, at(0));
    board.append(30, 41, at(0));
    board.beginAck();
    board.markLongerLost(10);
    expect([0, 1, 2].map((index) => board.isLost(index))).toEqual([false, true, true]);
    expect(board.newlyLost).toBe(31);
  });

  test("are in flight again after a spurious timeout, in the order of their sending", () => {
    send(5);
    board.retransmitted(0, at(40));
    board.markLost(1);
    board.markLost(3);
    sack(41, [20, 30]);
    board.restoreLost();
    expect([board.lostBytes, board.inFlight, board.hasLost, board.isLost(3)]).toEqual([0, 40, false, false]);
    // RACK finds them by the time of their sending: 1, 3 and 4 before the first, which went out last.
    board.rackSentAt = 40;
    board.rackEnd = 10;
    board.rackRttMs = 5;
    board.beginAck();
    expect(board.detectLosses(at(100), 0)).toBe(-1);
    expect(resend(101)).toEqual([10, 30, 40]);
  });
});

describe("a retransmission timeout", () => {
  test("loses the left edge, and everything else that was sent a round trip ago", () => {
    send(5);
    board.beginAck();
    board.markLostOnTimeout(at(10), 8);
    expect([0, 1, 2, 3, 4].map((index) => board.isLost(index))).toEqual([true, true, true, false, false]);
    board.markLostOnTimeout(at(10), 100);
    expect(board.newlyLost).toBe(30); // none twice
    board.clear();
    board.markLostOnTimeout(at(10), 0);
    expect(board.newlyLost).toBe(30);
    send(2);
    board.beginAck();
    board.markLostOnTimeout(at(0), 100);
    expect(board.newlyLost).toBe(10); // the left edge whenever it was sent
  });

  test("keeps SACKs unless the left edge was SACKed", () => {
    send(3);
    sack(5, [10, 20]);
    board.markLostOnTimeout(at(100), 0);
    expect([board.sackedCount, board.lostBytes, board.inFlight]).toEqual([1, 20, 0]);
  });

  test("after reneging requires the data to be acknowledged again (RFC 2018 §8)", () => {
    send(3);
    sack(5, [0, 20]);
    board.markLostOnTimeout(at(100), 200);
    expect([board.sackedCount, board.lostBytes, board.inFlight]).toEqual([0, 10, 20]);
    sack(101, [0, 20]);
    expect([board.newlySacked, board.sackedCount, board.lostBytes]).toEqual([20, 2, 0]);
  });
});

describe("RACK (RFC 8985)", () => {
  const rack = () => [board.rackSentAt, board.rackEnd, board.rackRttMs];

  test("knows the delivered record that was sent last; of several sent at once, the last in sequence", () => {
    board.append(0, 10, at(5));
    board.append(10, 20, at(5));
    board.append(20, 30, at(6));
    sack(50, [10, 20]);
    expect(rack()).toEqual([5, 20, 45]);
    board.acknowledge(10, at(60), -1, 0);
    expect(rack()).toEqual([5, 20, 45]);
    sack(70, [20, 30]);
    expect(rack()).toEqual([6, 30, 64]);
  });

  test("of several sent at once, those before it in sequence may be lost, those behind it not", () => {
    for (let i = 0; i < 3; i++) board.append(10 * i, 10 * i + 10, at(5));
    sack(50, [10, 20]);
    board.beginAck();
    expect(board.detectLosses(at(50), 0)).toBe(-1);
    expect([0, 1, 2].map((index) => board.isLost(index))).toEqual([true, false, false]);
  });

  test("computes the time until the next record is lost, a rounding error aside", () => {
    send(4);
    sack(50, [30, 40]); // sent at 3, 47 ms ago
    expect(board.detectLosses(at(50), 10)).toBe(7);
    expect(board.detectLosses(at(57 - 0.0005), 10)).toBeCloseTo(1);
    expect(board.isLost(0)).toBe(true);
    expect(board.detectLosses(at(57.9), 10)).toBeCloseTo(0.1);
    expect(board.detectLosses(at(59), 10)).toBe(-1);
    expect(board.lostBytes).toBe(30);
  });

  test("a record sent again is as new as its retransmission", () => {
    send(4);
    board.retransmitted(1, at(20)); // in flight, sent again as a probe
    expect([board.wasRetransmitted(1), board.sentAt(1), board.inFlight]).toEqual([true, 20, 40]);
    sack(50, [30, 40]);
    board.beginAck();
    expect(board.detectLosses(at(60), 0)).toBe(-1);
    expect([0, 1, 2].map((index) => board.isLost(index))).toEqual([true, false, true]);
  });

  test.each([
    ["its first transmission, by the echo", 39, 0, false],
    ["its retransmission, by the echo", 40, 0, true],
    ["an unknown one of them, without timestamps", -1, 0, true],
    ["its first transmission, for it came too soon", -1, 11, false],
    ["its retransmission, after a round trip", -1, 10, true],
  ])("an acknowledgment of a record sent twice answers %s", (_name, echoedAt, minRttMs, counts) => {
    send(1);
    board.markLost(0);
    board.retransmitted(0, at(40.5));
    board.beginAck();
    board.acknowledge(10, at(50.5), echoedAt, minRttMs);
    expect(rack()).toEqual(counts ? [40.5, 10, 10] : [Number.NEGATIVE_INFINITY, 0, 0]);
    expect([board.retransmittedSentAt, board.cleanSentAt, board.delivered]).toEqual([40.5, -1, 10]);
  });

  test("the newest record that was sent once gives a clean round trip", () => {
    send(4);
    board.beginAck();
    board.addSackBlock(20, 30);
    board.applySack(at(50), -1, 0);
    board.acknowledge(10, at(50), -1, 0);
    expect([board.cleanSentAt, board.retransmittedSentAt]).toEqual([2, -1]);
    board.beginAck();
    expect([board.cleanSentAt, board.delivered, board.newlySacked]).toEqual([-1, 0, 0]);
  });

  test("a record delivered after a later one shows reordering, unless it was sent again", () => {
    send(4);
    sack(50, [20, 30]);
    expect(board.reorderingSeen).toBe(false);
    board.markLost(0);
    board.retransmitted(0, at(60));
    board.acknowledge(10, at(70), -1, 0);
    expect(board.reorderingSeen).toBe(false);
    board.acknowledge(20, at(71), -1, 0);
    expect(board.reorderingSeen).toBe(true);
  });

  test("the longest record that was delivered is known", () => {
    board.append(0, 10, at(0));
    board.append(10, 40, at(0));
    board.append(40, 60, at(0));
    board.acknowledge(10, at(1), -1, 0);
    expect(board.largestDelivered).toBe(10);
    board.acknowledge(60, at(1), -1, 0);
    expect(board.largestDelivered).toBe(30);
  });
});

describe("splitting", () => {
  test("leaves short records unchanged", () => {
    send(4);
    board.acknowledge(10, at(9), -1, 0);
    board.splitLongerThan(10);
    expect([board.first, board.length]).toEqual([1, 3]);
  });

  test("keeps order, times and fates of the pieces", () => {
    send(12);
    board.acknowledge(10, at(20), -1, 0);
    board.markLost(5);
    board.markLost(3);
    board.retransmitted(2, at(30));
    sack(31, [70, 80]);
    board.splitLongerThan(4);
    expect([board.length, board.sackedCount, board.lostBytes, board.inFlight]).toEqual([33, 3, 20, 80]);
    const pieces = Array.from({ length: 33 }, (_, i) => [board.start(i), board.end(i)]);
    expect(pieces.slice(0, 4)).toEqual([
      [10, 14],
      [14, 18],
      [18, 20],
      [20, 24],
    ]);
    expect([board.sentAt(0), board.sentAt(3), board.wasRetransmitted(3), board.sentAt(32)]).toEqual([1, 30, true, 11]);
    board.beginAck();
    board.detectLosses(at(1_000), 0); // all sent before 7 but the retransmission
    expect(resend(1_001)).toEqual([10, 50, 54, 58, 30, 34, 38, 14, 18, 40, 44, 48, 60, 64, 68]);
  });
});
