import { expect, it } from "vitest";
import { formatIp, ip } from "../../base/ip.ts";
import { sourceAddressTowards } from "./source-address.ts";

it("names the address that packets to a destination leave from", async () => {
  expect(formatIp((await sourceAddressTowards(ip("127.0.0.1")))!)).toBe("127.0.0.1");
});

it("is undefined without a route", async () => {
  // A link-local destination without an interface cannot be routed anywhere.
  expect(await sourceAddressTowards(ip("fe80::1"))).toBeUndefined();
});
