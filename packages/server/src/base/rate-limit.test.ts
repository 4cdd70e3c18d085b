import { describe, expect, it } from "vitest";
import { RateLimit } from "./rate-limit.ts";

const LIMIT = { capacity: 10, periodMs: 60_000 };

/** The number of attempts allowed at one moment. */
function allowed(limit: RateLimit, nowMs: number): number {
  let count = 0;
  while (limit.take("ada", nowMs) === 0) count++;
  return count;
}

describe("attempts of one key", () => {
  it("are allowed up to the capacity, and as many again in each period", () => {
    const limit = new RateLimit(LIMIT);
    expect([allowed(limit, 0), allowed(limit, 30_000), allowed(limit, 90_000)]).toEqual([10, 5, 10]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15])(
    "security R15: at %i servers together are at most one and a half times those at one",
    (count) => {
      const servers = Array.from({ length: count }, () => new RateLimit({ ...LIMIT, servers: () => count }));
      for (const nowMs of [0, 60_000]) {
        const all = servers.reduce((sum, limit) => sum + allowed(limit, nowMs), 0);
        expect(all).toBeLessThanOrEqual(15);
        expect(all).toBeGreaterThanOrEqual(6);
      }
    },
  );

  it("do not count when they are given back, and never become more than the capacity", () => {
    const limit = new RateLimit(LIMIT);
    limit.giveBack("ada");
    for (let i = 0; i < 30; i++) {
      expect(limit.take("ada", 0)).toBe(0);
      limit.giveBack("ada");
    }
    limit.giveBack("ada");
    expect(allowed(limit, 0)).toBe(10);
  });

  it("security R15: follow the number of servers as it changes", () => {
    let servers = 2;
    const limit = new RateLimit({ ...LIMIT, servers: () => servers });
    expect(allowed(limit, 0)).toBe(5);
    servers = 1;
    expect(allowed(limit, 60_000)).toBe(10);
    servers = 10;
    expect(allowed(limit, 180_000)).toBe(1);
  });
});
