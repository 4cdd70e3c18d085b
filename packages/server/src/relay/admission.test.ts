import { describe, expect, it } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { Admission } from "./admission.ts";

const limits = { connections: 1_000_000, connectionsPerAddress: 3, handshakesPerSecond: 1, handshakeBurst: 10 };

describe("security 20: Admission", () => {
  it("returns a place when a connection closes", () => {
    const admission = new Admission(limits);
    const enter = () => admission.enter("192.0.2.1", instant(0));
    expect([enter(), enter(), enter(), enter()]).toEqual([undefined, undefined, undefined, "too-many-from-address"]);
    admission.leave("192.0.2.1");
    expect(enter()).toBeUndefined();
    expect(admission.connections).toBe(3);
    admission.leave("198.51.100.1");
    expect(admission.connections).toBe(3);
  });

  it.each([
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
    ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
    ["2001:db8::1", "2001:db8:0:0:1::1", true],
    ["::1", "::2", true],
    ["::ffff:192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "192.0.2.2", false],
    ["fe80::1%eth0", "fe80::2", true],
  ])("%s and %s: the same source is %s", (first, second, same) => {
    const admission = new Admission({ ...limits, connectionsPerAddress: 1 });
    expect(admission.enter(first, instant(0))).toBeUndefined();
    expect(admission.enter(second, instant(0))).toBe(same ? "too-many-from-address" : undefined);
  });

  it("refills the handshake rate with time", () => {
    const admission = new Admission({ ...limits, connectionsPerAddress: 100 });
    const at = (ms: number) => admission.enter("192.0.2.1", instant(ms));
    for (let i = 0; i < 10; i++) expect(at(0)).toBeUndefined();
    expect(at(999)).toBe("handshake-rate");
    expect(at(1_999)).toBeUndefined();
    expect(at(1_999)).toBe("handshake-rate");
  });

  it("a flood of ten times the rate from many addresses leaves an honest one every requested place", () => {
    const admission = new Admission({ ...limits, handshakesPerSecond: 10 });
    const admitted = { honest: 0, flood: 0 };
    const enter = (kind: keyof typeof admitted, address: string, ms: number): void => {
      if (admission.enter(address, instant(ms)) !== undefined) return;
      admitted[kind]++;
      admission.leave(address);
    };
    const [seconds, floodAddresses] = [10, 20];
    for (let ms = 0; ms < seconds * 1_000; ms += 10) {
      for (let n = 0; n < floodAddresses; n++) enter("flood", `198.51.100.${n}`, ms);
      if (ms % 200 === 0) enter("honest", "192.0.2.1", ms);
    }
    expect(admitted.honest).toBe(seconds * 5);
    expect(admitted.flood).toBeLessThanOrEqual(floodAddresses * (limits.handshakeBurst + seconds * 10));
  });

  it("keeps memory bounded however many addresses come and go", () => {
    const admission = new Admission(limits);
    for (let i = 0; i < 30_000; i++) {
      const address = `10.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
      expect(admission.enter(address, instant(i / 100))).toBeUndefined();
      admission.leave(address);
      expect(admission.addresses).toBeLessThanOrEqual(4_096);
    }
  });
});
