import { expect, it } from "vitest";
import { memoryOf } from "../../test/scenarios/tcp-harness.ts";
import { ip } from "../base/ip.ts";
import { addressAt, isAt, OwnAddresses } from "./own-addresses.ts";

const v4 = ip("10.0.0.1");
const v6 = ip("fd00::1");
const own = new OwnAddresses([v6, v4]);
const memory = memoryOf(Uint8Array.of(0xa5, ...v4, ...v6, 10, 0, 0, 2));

it("finds own addresses in packets by their exact bytes", () => {
  expect([own.includes(memory, 1, 4), own.includes(memory, 5, 16), own.includes(memory, 21, 4)]).toEqual([
    true,
    true,
    false,
  ]);
  expect([own.includes(memory, 0, 4), own.includes(memory, 2, 4), own.includes(memory, 1, 16)]).toEqual([
    false,
    false,
    false,
  ]);
  expect([isAt(v4, memory, 1, 4), isAt(v4, memory, 21, 4), isAt(v4, memory, 1, 16)]).toEqual([true, false, false]);
});

it("gives its own object for an own address and a copy for any other", () => {
  expect(own.at(memory, 1, 4)).toBe(v4);
  expect(own.at(memory, 5, 16)).toBe(v6);
  const other = own.at(memory, 21, 4);
  const copy = addressAt(memory, 21, 4);
  memory.bytes[24] = 9;
  expect([other, copy]).toEqual([ip("10.0.0.2"), ip("10.0.0.2")]);
});

it("chooses the source address by the family of the destination", () => {
  expect(own.towards(ip("192.0.2.1"))).toBe(v4);
  expect(own.towards(ip("2001:db8::1"))).toBe(v6);
  expect(new OwnAddresses([v4]).towards(ip("2001:db8::1"))).toBeUndefined();
});
