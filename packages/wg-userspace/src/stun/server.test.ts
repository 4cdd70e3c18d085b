import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode } from "../base/bytes.ts";
import { instant } from "../base/instant.ts";
import { type AddrPort, ip, ipFromBytes } from "../base/ip.ts";
import { encodeBindingRequest, parseBindingResponse } from "./message.ts";
import { StunServer } from "./server.ts";

const V4: AddrPort = { address: ip("192.0.2.1"), port: 32853 };
const V6: AddrPort = { address: ip("2001:db8::1"), port: 32853 };
const TX = hexDecode("0102030405060708090a0b0c");
const NOW = instant(0);

/** A request of the given attributes, each `[type, value]`, without fingerprint. */
function request(...attributes: [number, Uint8Array][]): Uint8Array {
  const body = attributes.flatMap(([type, value]) => [
    type >> 8,
    type & 255,
    value.length >> 8,
    value.length & 255,
    ...value,
    ...new Uint8Array((4 - (value.length % 4)) % 4),
  ]);
  return Uint8Array.from([0, 1, body.length >> 8, body.length & 255, 0x21, 0x12, 0xa4, 0x42, ...TX, ...body]);
}

const software = (bytes: number): [number, Uint8Array] => [0x8022, new Uint8Array(bytes).fill(0x61)];

describe("StunServer", () => {
  it("returns its address to a Tailscale-style client, in exactly the bytes of the published answer", () => {
    const server = new StunServer({ seed: 1 });
    const answer = server.handle(encodeBindingRequest(TX), V4, NOW)!;
    expect(answer).toEqual(hexDecode("0101000c2112a4420102030405060708090a0b0c002000080001a147e112a643"));
    expect(parseBindingResponse(server.handle(encodeBindingRequest(TX), V6, NOW)!)?.mapped).toEqual(V6);
    expect(server.counts).toMatchObject({ answeredV4: 1, answeredV6: 1 });
  });

  it("answers plain RFC requests, with and without optional attributes", () => {
    const server = new StunServer({ seed: 1 });
    expect(parseBindingResponse(server.handle(request(), V4, NOW)!)?.mapped).toEqual(V4);
    expect(parseBindingResponse(server.handle(request(software(13)), V6, NOW)!)?.mapped).toEqual(V6);
    expect(server.handle(request(software(3)), V6, NOW)).toHaveLength(44);
  });

  it("refuses a table whose size is not a power of two, and accepts the smallest that is", () => {
    for (const slots of [0, -1, 3, 6])
      expect(() => new StunServer({ seed: 1, limits: { slots } })).toThrow(/power of two/);
    expect(new StunServer({ seed: 1, limits: { slots: 1 } }).handle(encodeBindingRequest(TX), V4, NOW)).toBeDefined();
  });

  it("ignores attributes from 0x8000 on and drops requests with one below it, even when it is the last and empty", () => {
    const server = new StunServer({ seed: 1 });
    expect(server.handle(request(software(3), [0x8000, new Uint8Array()]), V4, NOW)).toBeDefined();
    expect(server.handle(request(software(3), [0x7fff, new Uint8Array()]), V4, NOW)).toBeUndefined();
    expect(server.handle(request(software(3), [0x0103, new Uint8Array(4)]), V4, NOW)).toBeUndefined();
    expect(server.counts.dropped.demanding).toBe(2);
  });

  it("security 22: an answer has at most 1.6 times the bytes of its request", () => {
    const server = new StunServer({ seed: 1, limits: { burst: 1e9 } });
    expect(server.handle(request(), V6, NOW)).toBeUndefined(); // 44 for 20 would be 2.2 times
    expect(server.counts.dropped["too-small"]).toBe(1);
    fc.assert(
      fc.property(fc.array(fc.nat(40), { maxLength: 6 }), fc.constantFrom(V4, V6), (sizes, from) => {
        const bytes = request(...sizes.map(software));
        const answer = server.handle(bytes, from, NOW);
        if (answer !== undefined) expect(answer.length).toBeLessThanOrEqual(1.6 * bytes.length);
      }),
    );
  });

  it("security 22: requests that would redirect or enlarge the answer get none", () => {
    const server = new StunServer({ seed: 1 });
    const address = Uint8Array.of(0, 1, 0x0d, 0x96, 198, 51, 100, 7);
    for (const attribute of [
      [0x0003, Uint8Array.of(0, 0, 0, 6)], // CHANGE-REQUEST
      [0x0002, address], // RESPONSE-ADDRESS
      [0x0027, Uint8Array.of(0x0d, 0x96, 0, 0)], // RESPONSE-PORT
      [0x0026, new Uint8Array(64)], // PADDING
      [0x7fff, address], // unknown, and must be understood
    ] as [number, Uint8Array][]) {
      expect(server.handle(request(attribute), V4, NOW)).toBeUndefined();
      expect(server.handle(request(software(8), attribute, software(0)), V4, NOW)).toBeUndefined();
    }
    expect(server.counts.dropped.demanding).toBe(10);
    expect(server.counts.answeredV4).toBe(0);
  });

  it("security 22: without the magic cookie, or malformed in any way, there is no answer", () => {
    const server = new StunServer({ seed: 1 });
    const good = encodeBindingRequest(TX);
    const changed = (at: number, value: number): Uint8Array => {
      const bytes = good.slice();
      bytes[at] = value;
      return bytes;
    };
    const bad = [
      changed(4, 0), // cookie
      changed(1, 0x11), // indication
      changed(0, 1), // response
      changed(3, 24), // longer than the datagram
      changed(3, 8), // shorter
      changed(39, good[39]! ^ 1), // fingerprint
      good.subarray(0, 19),
      new Uint8Array(0),
      new Uint8Array(1500),
    ];
    for (const bytes of bad) expect(server.handle(bytes, V4, NOW)).toBeUndefined();
    expect(server.handle(good, { ...V4, port: 0 }, NOW)).toBeUndefined();
    expect(server.counts.dropped.malformed).toBe(bad.length + 1);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        const before = server.counts.answeredV4;
        const answer = server.handle(bytes, V4, NOW);
        expect(server.counts.answeredV4 - before).toBe(answer === undefined ? 0 : 1);
      }),
    );
  });

  it("security 22: one source is answered up to its limit, which refills with time, and others are not affected", () => {
    const server = new StunServer({ seed: 1, limits: { perSecond: 10, burst: 20 } });
    const ask = (from: AddrPort, now: number): boolean => server.handle(request(), from, instant(now)) !== undefined;
    let answered = 0;
    for (let i = 0; i < 100; i++) if (ask({ ...V4, port: 1000 + i }, 0)) answered++;
    expect(answered).toBe(20);
    expect(server.counts.dropped["rate-limited"]).toBe(80);
    expect(ask({ address: ip("192.0.2.2"), port: 1 }, 0)).toBe(true);
    answered = 0;
    for (let i = 0; i < 100; i++) if (ask(V4, 500)) answered++;
    expect(answered).toBe(5);
  });

  it("security 22: addresses of one IPv6 /64 share a limit", () => {
    const server = new StunServer({ seed: 1, limits: { perSecond: 1, burst: 3 } });
    const answers = [1, 2, 3, 4, 5].map((n) =>
      server.handle(encodeBindingRequest(TX), { address: ip(`2001:db8:0:7::${n}`), port: 9 }, NOW),
    );
    expect(answers.filter((answer) => answer !== undefined)).toHaveLength(3);
    expect(server.handle(encodeBindingRequest(TX), { address: ip("2001:db8:0:8::1"), port: 9 }, NOW)).toHaveLength(44);
  });

  it("security 22: 200,000 spoofed sources do not grow its memory, and an honest one is still answered", () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const server = new StunServer({ seed: 12345 });
    const plain = request();
    collect();
    const before = process.memoryUsage().heapUsed;
    let answered = 0;
    for (let n = 0; n < 200_000; n++) {
      const address = ipFromBytes(Uint8Array.of(10, n >> 16, (n >> 8) & 255, n & 255));
      if (server.handle(plain, { address, port: 1 + (n % 60_000) }, instant(n / 100)) !== undefined) answered++;
    }
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(2 * 1024 * 1024);
    expect(answered).toBeGreaterThan(100_000);
    expect(server.handle(plain, V4, instant(3000))).toHaveLength(32);
  });
});
