import { expect, it } from "vitest";
import { type AddressResolver, nat64Prefix } from "./nat64.ts";

const answering = (addresses: () => Promise<string[]>): AddressResolver => ({
  resolve6: addresses,
  cancel: () => undefined,
});

it("names the prefix that made an IPv6 address of an IPv4-only name", async () => {
  expect(await nat64Prefix(answering(async () => ["64:ff9b::c000:aa"]))).toBe("64:ff9b::/96");
});

it("is undefined where the name has no such address, or DNS does not answer", async () => {
  expect(await nat64Prefix(answering(async () => []))).toBeUndefined();
  expect(await nat64Prefix(answering(() => Promise.reject(new Error("ENODATA"))))).toBeUndefined();
});
