import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hexEncode } from "../base/bytes.ts";
import { instant } from "../base/instant.ts";
import { compareTimestamps, TimestampGuard, TimestampSource, tai64n } from "./tai64n.ts";

describe("tai64n", () => {
  test("writes 2^62 + 10 s + Unix seconds, and nanoseconds without their low 24 bits", () => {
    expect(hexEncode(tai64n(0))).toBe("400000000000000a00000000");
    expect(hexEncode(tai64n(0x6500_0000 * 1000 + 17))).toBe("400000006500000a01000000");
    expect(hexEncode(tai64n(999.9999))).toBe("400000000000000a3b000000");
    expect(hexEncode(tai64n(2 ** 32 * 1000))).toBe("400000010000000a00000000");
  });

  test("orders timestamps as times, to within a granule", () => {
    const time = fc.integer({ min: 0, max: 4e12 });
    fc.assert(
      fc.property(time, time, (x, y) => {
        const order = compareTimestamps(tai64n(x), tai64n(y));
        if (order !== 0) expect(order).toBe(Math.sign(x - y));
        else expect(Math.abs(x - y)).toBeLessThan(17);
      }),
    );
  });
});

describe("TimestampSource", () => {
  test("security 24: only increases, whatever the clock does", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 1e6 }), { maxLength: 50 }), (clock) => {
        const source = new TimestampSource();
        let last: Uint8Array | undefined;
        for (const unixMs of clock) {
          const next = source.next(unixMs);
          if (last !== undefined) expect(compareTimestamps(next, last)).toBe(1);
          last = next;
        }
      }),
    );
  });
});

describe("TimestampGuard", () => {
  test("security 24: accepts greater timestamps that are more than 20 ms apart", () => {
    const guard = new TimestampGuard();
    expect(guard.accept(tai64n(1000), instant(0))).toBeUndefined();
    expect(guard.accept(tai64n(1000), instant(5000))).toBe("replayed");
    expect(guard.accept(tai64n(900), instant(5000))).toBe("replayed");
    expect(guard.accept(tai64n(2000), instant(20))).toBe("handshake-flood");
    expect(guard.accept(tai64n(2000), instant(21))).toBeUndefined();
    expect(guard.accept(tai64n(2000), instant(6000))).toBe("replayed");
  });
});
