import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { instant } from "../../base/instant.ts";
import { ChunkPool, FULL_CHUNK_BYTES } from "./chunk-pool.ts";
import { Cubic } from "./cubic.ts";
import { MAX_PIECES, Reassembly } from "./reassembly.ts";
import { Reno } from "./reno.ts";
import { RttEstimator } from "./rtt.ts";
import { Scoreboard } from "./scoreboard.ts";
import { SendBuffer } from "./send-buffer.ts";
import { before32, positionOf, wireSeq } from "./seq.ts";
import { TcpTimers } from "./timers.ts";

const at = instant;

describe("sequence numbers", () => {
  test("a position survives the wire from anywhere within 2 GB of it", () => {
    fc.assert(
      fc.property(
        fc.nat(0xffffffff),
        fc.maxSafeNat(),
        fc.integer({ min: -0x7fffffff, max: 0x7fffffff }),
        (iss, p, d) => {
          const position = p % 2 ** 50;
          expect(positionOf(iss, wireSeq(iss, position), position + d)).toBe(position);
        },
      ),
    );
  });
  test("before32 orders across the wrap", () => {
    expect(before32(0xffffffff, 0)).toBe(true);
    expect(before32(0, 0xffffffff)).toBe(false);
    expect(before32(5, 5)).toBe(false);
  });
});

describe("round-trip estimator", () => {
  test("follows RFC 6298: first sample sets srtt and half of it as variance", () => {
    const rtt = new RttEstimator(10_000);
    expect(rtt.rtoMs).toBe(1000);
    rtt.sample(400, 1);
    expect([rtt.srttMs, rtt.rttvarMs, rtt.rtoMs]).toEqual([400, 200, 1200]);
    rtt.sample(800, 1);
    expect([rtt.srttMs, rtt.rttvarMs]).toEqual([450, 250]);
  });
  test("never falls below srtt plus 200 ms, doubles per timeout, and stops at its cap", () => {
    const rtt = new RttEstimator(10_000);
    for (let i = 0; i < 100; i++) rtt.sample(20, 1);
    expect(rtt.rtoMs).toBeCloseTo(220, 5);
    rtt.backoff = 2;
    expect(rtt.rtoMs).toBeCloseTo(880, 5);
    rtt.backoff = 30;
    expect(rtt.rtoMs).toBe(10_000);
  });
});

describe("send buffer", () => {
  test("keeps any writes readable by position until released, and holds no chunk when empty", () => {
    const operations = fc.array(
      fc.tuple(fc.constantFrom("write", "release", "read"), fc.nat(200_000), fc.nat(70_000)),
      {
        maxLength: 40,
      },
    );
    fc.assert(
      fc.property(operations, (steps) => {
        const buffer = new SendBuffer(new ChunkPool(4));
        const twin: number[] = [];
        let start = 1;
        let counter = 0;
        for (const [kind, a, b] of steps) {
          if (kind === "write") {
            const bytes = new Uint8Array(b);
            for (let i = 0; i < bytes.length; i++) bytes[i] = counter++ & 255;
            buffer.write(bytes);
            for (const byte of bytes) twin.push(byte);
          } else if (kind === "release") {
            const to = start + (a % (twin.length + 1));
            buffer.release(to);
            twin.splice(0, to - start);
            start = to;
          } else if (twin.length > 0) {
            const from = a % twin.length;
            const length = Math.min(b, twin.length - from);
            const out = new Uint8Array(length + 3);
            buffer.copyTo(out, 3, start + from, length);
            for (let i = 0; i < length; i++) if (out[3 + i] !== twin[from + i]) throw new Error(`byte ${i} differs`);
          }
          expect(buffer.length).toBe(twin.length);
          if (twin.length === 0) expect(buffer.capacityBytes).toBe(0);
        }
      }),
      { numRuns: 40 },
    );
  });
});

/** Reference model: every byte its own entry. */
class SlowReassembly {
  readonly bytes = new Map<number, number>();
  next = 1;
  insert(data: Uint8Array, position: number): void {
    data.forEach((byte, i) => {
      if (position + i >= this.next) this.bytes.set(position + i, byte);
    });
    while (this.bytes.has(this.next)) this.next++;
  }
  pieces(): [number, number][] {
    const out: [number, number][] = [];
    for (const position of [...this.bytes.keys()].filter((p) => p >= this.next).sort((a, b) => a - b)) {
      const last = out.at(-1);
      if (last !== undefined && last[1] === position) last[1]++;
      else out.push([position, position + 1]);
    }
    return out;
  }
}

describe("chunks given back", () => {
  const received = (pool: ChunkPool, fill: number): { reassembly: Reassembly; read: () => Uint8Array } => {
    const reassembly = new Reassembly(pool);
    const packet = new Uint8Array(1200).fill(fill);
    let position = 1;
    return {
      reassembly,
      // Feeds packets until a chunk is full, then reads it whole.
      read: () => {
        for (;;) {
          reassembly.insert(packet, 0, packet.length, position, 0);
          position += packet.length;
          if (reassembly.readableLength < FULL_CHUNK_BYTES) continue;
          const chunk = reassembly.read()!;
          if (chunk.length === FULL_CHUNK_BYTES) return chunk;
        }
      },
    };
  };

  test("are used again, once all of them came back", () => {
    const pool = new ChunkPool(4);
    const chunk = received(pool, 1).read();
    pool.giveBack(chunk.subarray(0, 1000));
    expect(pool.lease().buffer).not.toBe(chunk.buffer);
    pool.giveBack(chunk.subarray(1000));
    expect(pool.lease().buffer).toBe(chunk.buffer);
    expect(pool.lease().buffer).not.toBe(chunk.buffer);
  });

  test("are left alone when a piece was kept, is returned twice, or was never ours", () => {
    const pool = new ChunkPool(4);
    const chunk = received(pool, 2).read();
    pool.giveBack(chunk.subarray(1000)); // the reader kept the bytes before
    pool.giveBack(chunk.subarray(0, 40_000));
    pool.giveBack(chunk.subarray(0, 40_000));
    pool.giveBack(new Uint8Array(FULL_CHUNK_BYTES));
    for (let i = 0; i < 4; i++) expect(pool.lease().buffer).not.toBe(chunk.buffer);
  });

  test("never show one stream what another one received", () => {
    const pool = new ChunkPool(4);
    const [one, other] = [received(pool, 3), received(pool, 4)];
    for (let i = 0; i < 20; i++) {
      for (const [stream, fill] of [
        [one, 3],
        [other, 4],
      ] as const) {
        const chunk = stream.read();
        expect(chunk.every((byte) => byte === fill)).toBe(true);
        pool.giveBack(chunk);
      }
    }
  });
});

describe("reassembly", () => {
  test("any order of overlapping segments yields the stream, and SACK blocks name exactly the pieces", () => {
    const segments = fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 60 }), fc.boolean()), { maxLength: 60 });
    fc.assert(
      fc.property(segments, (list) => {
        const fast = new Reassembly(new ChunkPool(4));
        const slow = new SlowReassembly();
        const blocks = new Float64Array(8);
        let read = 1;
        for (const [offset, length, readNow] of list) {
          const start = Math.max(1 + offset, fast.next);
          const end = Math.max(1 + offset + length, start);
          if (end === start) continue;
          const data = Uint8Array.from({ length: end - start }, (_, i) => ((start + i) * 7) & 255);
          expect(fast.insert(data, 0, data.length, start, 0)).toBe(true);
          slow.insert(data, start);
          expect(fast.next).toBe(slow.next);
          const pieces = slow.pieces();
          expect(fast.pieceCount).toBe(pieces.length);
          const count = fast.sackBlocks(blocks, 4);
          expect(count).toBeGreaterThanOrEqual(Math.min(pieces.length, 1));
          const seen = new Set<number>();
          for (let i = 0; i < count; i++) {
            expect(pieces).toContainEqual([blocks[2 * i], blocks[2 * i + 1]]);
            seen.add(blocks[2 * i]!);
          }
          expect(seen.size).toBe(count);
          // The first block is the one just changed (RFC 2018 §4).
          if (start > slow.next) expect(blocks[0]! <= start && start < blocks[1]!).toBe(true);
          while (readNow) {
            const chunk = fast.read();
            if (chunk === undefined) break;
            for (const byte of chunk) expect(byte).toBe((read++ * 7) & 255);
          }
        }
        for (let chunk = fast.read(); chunk !== undefined; chunk = fast.read())
          for (const byte of chunk) expect(byte).toBe((read++ * 7) & 255);
        expect(read).toBe(slow.next);
      }),
      { numRuns: 200 },
    );
  });
  test("keeps a bounded number of pieces and reports when it drops one", () => {
    const reassembly = new Reassembly(new ChunkPool(4));
    const byte = Uint8Array.of(1);
    for (let i = 0; i < MAX_PIECES; i++) expect(reassembly.insert(byte, 0, 1, 3 + 2 * i, 0)).toBe(true);
    expect(reassembly.insert(byte, 0, 1, 3 + 2 * MAX_PIECES, 0)).toBe(false);
    expect(reassembly.pieceCount).toBe(MAX_PIECES);
  });
  test("takes chunks of twice the size while they fill within 100 ms, up to 64 KiB, and of half when they do not", () => {
    const reassembly = new Reassembly(new ChunkPool(4));
    const sizes: number[] = [];
    let now = 1_000;
    const fill = (everyMs: number, count: number): void => {
      for (let i = 0; i < count; i++) {
        now += everyMs;
        reassembly.insert(Uint8Array.of(7), 0, 1, reassembly.next, now);
        const bytes = reassembly.capacityBytes;
        sizes.push(bytes);
        reassembly.insert(new Uint8Array(bytes - 1).fill(7), 0, bytes - 1, reassembly.next, now);
        expect(reassembly.read()).toEqual(new Uint8Array(bytes).fill(7));
        expect(reassembly.capacityBytes).toBe(0);
      }
    };
    fill(99, 8);
    fill(100, 3);
    expect(sizes).toEqual([2, 4, 8, 16, 32, 64, 64, 64, 32, 16, 8].map((kib) => kib * 1024));
    sizes.length = 0;
    reassembly.trim();
    fill(100, 2);
    expect(sizes).toEqual([2048, 2048]);
  });
  test("keeps unread bytes, and the pieces beyond a hole, when releasing memory", () => {
    const reassembly = new Reassembly(new ChunkPool(4));
    reassembly.insert(Uint8Array.of(1, 2), 0, 2, 1, 0);
    reassembly.trim();
    expect(reassembly.read()).toEqual(Uint8Array.of(1, 2));
    reassembly.insert(Uint8Array.of(4), 0, 1, 4, 0);
    reassembly.trim();
    reassembly.insert(Uint8Array.of(3), 0, 1, 3, 0);
    expect(reassembly.read()).toEqual(Uint8Array.of(3, 4));
    reassembly.insert(Uint8Array.of(6), 0, 1, 6, 0);
    reassembly.clear();
    expect([reassembly.capacityBytes, reassembly.pieceCount, reassembly.hasPieceAt(6)]).toEqual([0, 0, false]);
  });
  test("releases its memory when everything was read", () => {
    const reassembly = new Reassembly(new ChunkPool(4));
    reassembly.insert(new Uint8Array(100), 0, 100, 1, 0);
    reassembly.trim();
    expect(reassembly.capacityBytes).toBeGreaterThan(0);
    reassembly.read();
    reassembly.trim();
    expect(reassembly.capacityBytes).toBe(0);
    reassembly.insert(new Uint8Array(100).fill(9), 0, 100, 101, 0);
    expect(reassembly.read()).toEqual(new Uint8Array(100).fill(9));
  });
});

describe("scoreboard", () => {
  interface Twin {
    start: number;
    end: number;
    state: "flight" | "lost" | "sacked";
  }
  const step = fc.tuple(
    fc.constantFrom("send", "ack", "sack", "rto", "retransmit", "rack", "split"),
    fc.nat(999),
    fc.nat(999),
  );

  test("counts bytes in flight and lost like a plain list, whatever happens", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const board = new Scoreboard();
        let twin: Twin[] = [];
        let next = 0;
        let now = 0;
        for (const [kind, a, b] of steps) {
          now += 10;
          const una = twin[0]?.start ?? next;
          board.beginAck();
          if (kind === "send") {
            const length = 1 + (a % 100);
            board.append(next, next + length, at(now));
            twin.push({ start: next, end: next + length, state: "flight" });
            next += length;
          } else if (kind === "ack") {
            const to = una + (a % (next - una + 1));
            board.acknowledge(to, at(now), -1, 0);
            twin = twin.filter((t) => t.end > to);
            if (twin[0] !== undefined) twin[0].start = Math.max(twin[0].start, to);
          } else if (kind === "sack" && twin.length > 1) {
            const left = 1 + (a % (twin.length - 1));
            const right = left + (b % (twin.length - left));
            board.addSackBlock(twin[left]!.start, twin[right]!.end);
            board.applySack(at(now), -1, 0);
            for (let i = left; i <= right; i++) twin[i]!.state = "sacked";
          } else if (kind === "rto") {
            board.markLostOnTimeout(at(now), 0);
            if (twin[0]?.state === "sacked") for (const t of twin) if (t.state === "sacked") t.state = "flight"; // reneged
            for (const t of twin) if (t.state === "flight") t.state = "lost";
          } else if (kind === "retransmit") {
            const index = board.nextLost();
            expect(index >= 0).toBe(twin.some((t) => t.state === "lost"));
            if (index >= 0) {
              const start = board.start(index);
              board.retransmitted(index, at(now));
              twin.find((t) => t.start === start)!.state = "flight";
            }
          } else if (kind === "rack") {
            const before = board.inFlight;
            board.detectLosses(at(now), 0);
            expect(before - board.inFlight).toBe(board.newlyLost);
            for (let i = board.first, k = 0; k < twin.length; i++, k++)
              if (twin[k]!.state === "flight" && board.isLost(i)) twin[k]!.state = "lost";
          } else if (kind === "split") {
            const limit = 10 + (a % 60);
            board.splitLongerThan(limit);
            twin = twin.flatMap((t) => {
              const pieces: Twin[] = [];
              for (let s = t.start; s < t.end; s += limit)
                pieces.push({ start: s, end: Math.min(s + limit, t.end), state: t.state });
              return pieces;
            });
          }
          const sum = (state: Twin["state"]) =>
            twin.filter((t) => t.state === state).reduce((total, t) => total + t.end - t.start, 0);
          expect([board.inFlight, board.lostBytes, board.length]).toEqual([sum("flight"), sum("lost"), twin.length]);
          expect(board.sackedCount).toBe(twin.filter((t) => t.state === "sacked").length);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("RACK marks segments sent a reorder window before something delivered, and nothing newer", () => {
    const board = new Scoreboard();
    for (let i = 0; i < 4; i++) board.append(i * 10, i * 10 + 10, at(i));
    board.beginAck();
    board.addSackBlock(20, 30);
    board.applySack(at(100), -1, 0);
    expect(board.detectLosses(at(100), 5)).toBeCloseTo(3); // sent at 0, round trip 98, window 5: due at 103
    expect(board.newlyLost).toBe(0);
    board.detectLosses(at(103), 5);
    expect(board.newlyLost).toBe(10);
    board.detectLosses(at(104), 5);
    expect([board.lostBytes, board.inFlight]).toEqual([20, 10]);
  });

  test("a SACKed left edge at a timeout means the receiver reneged, so SACKs are discarded", () => {
    const board = new Scoreboard();
    board.append(0, 10, at(0));
    board.append(10, 20, at(0));
    board.beginAck();
    board.addSackBlock(0, 10);
    board.applySack(at(5), -1, 0);
    board.markLostOnTimeout(at(1000), 0);
    expect([board.sackedCount, board.lostBytes]).toEqual([0, 20]);
  });
});

describe("congestion control", () => {
  const context = {
    inFlight: 0,
    lossRate: 0.5,
    queueAtLoss: 0,
    pathRate: 1e6,
    rttMs: 100,
    roundMinRttMs: 100,
    minRttMs: 50,
  };

  test("Reno doubles per round trip, halves on loss, then adds one segment per round trip", () => {
    const reno = new Reno(1000);
    expect(reno.cwnd).toBe(10_000);
    reno.onAck(10_000);
    expect(reno.cwnd).toBe(20_000);
    expect(reno.onLoss(context)).toBe(true);
    reno.onRecovered();
    expect(reno.cwnd).toBe(10_000);
    for (let i = 0; i < 10; i++) reno.onAck(1000);
    expect(reno.cwnd).toBeGreaterThan(10_900);
    expect(reno.cwnd).toBeLessThanOrEqual(11_000);
    reno.onTimeout(context);
    expect(reno.cwnd).toBe(1000);
    reno.undo();
    expect(reno.cwnd).toBeGreaterThan(10_900);
  });

  test("CUBIC reduces to 0.7, comes back to the old maximum after K seconds, then grows beyond", () => {
    const cubic = new Cubic(1000, true);
    cubic.cwnd = 1_000_000;
    cubic.onLoss(context, at(0));
    cubic.onRecovered();
    expect(cubic.cwnd).toBe(700_000);
    // K = cbrt(300 segments / 0.4) = 9.09 s (RFC 9438 §4.2).
    let now = 0;
    const run = (untilMs: number) => {
      for (; now < untilMs; now += 100) for (let i = 0; i < 10; i++) cubic.onAck(cubic.cwnd / 10, 100, at(now));
    };
    run(4500);
    const middle = cubic.cwnd;
    run(9100);
    expect(middle).toBeGreaterThan(900_000);
    expect(cubic.cwnd).toBeGreaterThan(985_000);
    expect(cubic.cwnd).toBeLessThan(1_015_000);
    run(14_000);
    expect(cubic.cwnd).toBeGreaterThan(1_030_000);
  });

  test("CUBIC makes room after a second loss below the old maximum (fast convergence)", () => {
    const cubic = new Cubic(1000, true);
    cubic.cwnd = 100_000;
    cubic.onLoss(context, at(0));
    cubic.onRecovered();
    cubic.onLoss(context, at(100));
    cubic.onRecovered();
    expect(cubic.cwnd).toBeCloseTo(49_000);
    cubic.undo();
    expect(cubic.cwnd).toBeCloseTo(70_000);
  });

  test("rare loss keeps the window, unless there is a queue, a short queue is full, losses are frequent, or the mode is strict", () => {
    const rare = { ...context, lossRate: 0.001, roundMinRttMs: 101, minRttMs: 100 };
    expect(new Cubic(1000, false).onLoss(rare, at(0))).toBe(false);
    expect(new Cubic(1000, false).onLoss({ ...rare, queueAtLoss: 0.8 }, at(0))).toBe(true);
    expect(new Cubic(1000, false).onLoss({ ...rare, roundMinRttMs: 140 }, at(0))).toBe(true);
    expect(new Cubic(1000, false).onLoss({ ...rare, lossRate: 0.03 }, at(0))).toBe(true);
    expect(new Cubic(1000, true).onLoss(rare, at(0))).toBe(true);
  });

  test("a loss of the first slow start falls back to the measured capacity of the path", () => {
    const cubic = new Cubic(1000, false);
    cubic.cwnd = 400_000;
    // 1000 bytes per ms: the path holds 100 kB, and with its queue 180 kB.
    cubic.onLoss({ ...context, pathRate: 1000, rttMs: 180, roundMinRttMs: 150, minRttMs: 100 }, at(0));
    expect(cubic.ssthresh).toBeCloseTo(126_000);
    cubic.onRecovered();
    // Later losses reduce the window itself (RFC 9438 §4.6).
    cubic.onLoss({ ...context, pathRate: 100 }, at(1000));
    expect(cubic.ssthresh).toBeCloseTo(88_200);
    cubic.undo();
    expect(cubic.ssthresh).toBeCloseTo(126_000);
  });

  test("a short queue does not reduce the window below the path's capacity, and no loss below the initial window", () => {
    const loss = { ...context, pathRate: 1000, rttMs: 113, roundMinRttMs: 113, minRttMs: 100 };
    const cubic = new Cubic(1000, false);
    cubic.cwnd = 200_000;
    cubic.onLoss(loss, at(0));
    expect(cubic.ssthresh).toBeCloseTo(100_000);
    const young = new Cubic(1000, false);
    young.cwnd = 20_000;
    young.onLoss({ ...loss, pathRate: 10 }, at(0));
    expect(young.ssthresh).toBeCloseTo(10_000);
  });

  test("an idle window halves per timeout, but not below the initial one", () => {
    const cubic = new Cubic(1000, true);
    cubic.cwnd = 80_000;
    cubic.onIdle(650, 300);
    expect(cubic.cwnd).toBe(20_000);
    cubic.onIdle(3_600_000, 300);
    expect(cubic.cwnd).toBe(10_000);
  });
});

test("timers due at the same time come in a fixed order, each once", () => {
  const timers = new TcpTimers();
  timers.set(4, 10);
  timers.set(1, 10);
  timers.set(2, 20);
  expect(timers.next()).toBe(10);
  expect([timers.takeExpired(at(10)), timers.takeExpired(at(10)), timers.takeExpired(at(10))]).toEqual([1, 4, -1]);
  expect(timers.next()).toBe(20);
});
