import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SlotRing } from "./slot-ring.ts";

const CONTROL = 16;

describe("SlotRing", () => {
  it("names slots by distinct byte offsets, all within its part of the memory", () => {
    const ring = new SlotRing(8192, 1536, 40);
    const slots = Array.from({ length: 40 }, () => ring.leaseForControl());
    expect(slots.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => 8192 + 1536 * i));
    expect(ring.leaseForControl()).toBe(-1);
  });

  it("keeps the last 16 slots for control messages, and does not count them as free", () => {
    const ring = new SlotRing(0, 64, 20);
    expect(ring.free).toBe(4);
    const data = Array.from({ length: 4 }, () => ring.lease());
    expect(data).not.toContain(-1);
    expect(ring.free).toBe(0);
    expect(ring.lease()).toBe(-1);
    const control = Array.from({ length: CONTROL }, () => ring.leaseForControl());
    expect(new Set([...data, ...control]).size).toBe(20);
    expect(control).not.toContain(-1);
    expect(ring.leaseForControl()).toBe(-1);
    ring.release(data[0]!);
    expect([ring.free, ring.lease()]).toEqual([0, -1]);
  });

  it.each([0, 31, 33, 64 * 20, 64 * 21, -64, Number.NaN, 0.5])("refuses to release %d, which is not leased", (slot) => {
    const ring = new SlotRing(64, 64, 20);
    const leased = ring.lease();
    expect(() => ring.release(slot)).toThrow("is not leased");
    ring.release(leased);
    expect(() => ring.release(leased)).toThrow(`slot ${leased} is not leased`);
    expect(ring.free).toBe(4);
  });

  it("never hands out a slot twice, in any order of leases and releases", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(fc.oneof(fc.constantFrom("lease", "control"), fc.nat()), { maxLength: 200 }),
        (capacity, steps) => {
          const ring = new SlotRing(128, 64, capacity);
          const held = new Set<number>();
          for (const step of steps) {
            if (typeof step === "number") {
              const slot = [...held][step % Math.max(1, held.size)];
              if (slot === undefined) continue;
              held.delete(slot);
              ring.release(slot);
            } else {
              const expected = step === "lease" ? capacity - held.size > CONTROL : capacity > held.size;
              const slot = step === "lease" ? ring.lease() : ring.leaseForControl();
              expect(slot >= 0).toBe(expected);
              expect(held.has(slot)).toBe(false);
              if (slot >= 0) held.add(slot);
            }
            expect(ring.free).toBe(Math.max(0, capacity - held.size - CONTROL));
          }
        },
      ),
    );
  });
});
