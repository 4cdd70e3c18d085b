import { expect, it } from "vitest";
import { instant } from "../../base/instant.ts";
import { type AddrPort, ip } from "../../base/ip.ts";
import { SipHash } from "../siphash.ts";
import { InitialNumbers } from "./initial-numbers.ts";

const secret = Uint8Array.from({ length: 16 }, (_, i) => i);
const numbers = new InitialNumbers(secret);
const local: AddrPort = { address: ip("10.0.0.1"), port: 0x1234 };
const remote: AddrPort = { address: ip("10.0.0.2"), port: 0x5678 };

it("hashes ports and addresses with the secret, low word for sequence numbers and high word for timestamps", () => {
  const [low, high] = new SipHash(secret).hash(Uint8Array.of(0x12, 0x34, 0x56, 0x78, 10, 0, 0, 1, 10, 0, 0, 2));
  expect(numbers.of(local, remote, instant(0))).toEqual({ iss: low, tsOffset: high });
});

it("advances sequence numbers by one every 4 µs, around 2^32, and timestamps not at all", () => {
  const first = numbers.of(local, remote, instant(0));
  for (const [ms, ticks] of [
    [0.0039, 0],
    [0.004, 1],
    [1, 250],
    [17_179_869.184, 0], // 2^32 ticks
    [17_179_869.188, 1],
  ] as const)
    expect(numbers.of(local, remote, instant(ms))).toEqual({
      iss: (first.iss + ticks) >>> 0,
      tsOffset: first.tsOffset,
    });
});

it("differs for every part of the four-tuple and for another secret", () => {
  const at = instant(0);
  const all = [
    numbers.of(local, remote, at),
    numbers.of(remote, local, at),
    numbers.of({ ...local, port: 0x1334 }, remote, at),
    numbers.of({ ...local, port: 0x1235 }, remote, at),
    numbers.of(local, { ...remote, port: 0x5778 }, at),
    numbers.of(local, { ...remote, port: 0x5679 }, at),
    numbers.of({ ...local, address: ip("10.0.0.3") }, remote, at),
    numbers.of(local, { ...remote, address: ip("10.0.0.3") }, at),
    new InitialNumbers(secret.with(0, 9)).of(local, remote, at),
  ];
  expect(new Set(all.map(({ iss }) => iss)).size).toBe(all.length);
  expect(new Set(all.map(({ tsOffset }) => tsOffset)).size).toBe(all.length);
});
