import { expect, test } from "vitest";
import { Places } from "./places.ts";

const limits = { total: 5, perUser: 2, perAddress: 3 };

test("places are limited per user, per address and in total, and can be returned", () => {
  const places = new Places("terminals", limits);
  const leave = places.take({ userId: "ada", address: "192.0.2.1" });
  places.take({ userId: "ada", address: "192.0.2.1" });
  expect(() => places.take({ userId: "ada", address: "192.0.2.2" })).toThrow(
    "Too many open terminals from this account, at most 2.",
  );
  places.take({ userId: "bob", address: "192.0.2.1" });
  expect(() => places.take({ userId: "eve", address: "::ffff:192.0.2.1" })).toThrow("from this address, at most 3");
  places.take({ userId: "eve", address: "2001:db8::1" });
  places.take({ userId: "joe", address: "2001:db8::2" });
  expect(() => places.take({ userId: "zoe", address: "198.51.100.1" })).toThrow("at this server");
  leave();
  leave();
  expect(places.taken).toBe(4);
  places.take({ userId: "ada", address: "198.51.100.1" });
});

test("an IPv6 customer has one share, however many addresses of the /64 they use", () => {
  const places = new Places("terminals", { total: 100, perAddress: 3 });
  for (let n = 1; n <= 3; n++) places.take({ address: `2001:db8:1:2::${n}` });
  expect(() => places.take({ address: "2001:db8:1:2:ffff::1" })).toThrow("from this address");
  places.take({ address: "2001:db8:1:3::1" });
});

test("an IPv6 line of 256 networks has twice the share of one of them", () => {
  const places = new Places("terminals", { total: 100, perAddress: 3 });
  for (let n = 0; n < 6; n++) places.take({ address: `2001:db8:1:20${n}::1` });
  expect(() => places.take({ address: "2001:db8:1:2ff::1" })).toThrow("from this address, at most 6");
  places.take({ address: "2001:db8:1:300::1" });
  // The omitted zeros may precede the fourth group.
  places.take({ address: "2001:db8::201:1:1:1:1" });
});

test("a workspace has a share, however many users and addresses come to it", () => {
  const places = new Places("requests to apps", { total: 100, perUser: 5, perWorkspace: 3 });
  const visit = (workspaceId: string, visitor: number) =>
    places.take(visitor % 2 === 0 ? { userId: `user${visitor}`, workspaceId } : { address: "192.0.2.1", workspaceId });
  const [leave] = [1, 2, 3].map((visitor) => visit("busy", visitor));
  expect(() => visit("busy", 4)).toThrow("Too many open requests to apps of this workspace, at most 3.");
  visit("other", 4);
  leave!();
  visit("busy", 5);
  expect(() => visit("busy", 6)).toThrow("of this workspace");
  expect(places.taken).toBe(4);
});

test("an address has a share of each workspace, which leaves room for other addresses", () => {
  const limits = { total: 100, perAddress: 10, perWorkspace: 4, perAddressOfWorkspace: 2 };
  const places = new Places("requests to apps", limits);
  const visit = (address: string, workspaceId: string) => places.take({ address, workspaceId });
  const leave = visit("192.0.2.1", "w");
  visit("192.0.2.1", "w");
  expect(() => visit("192.0.2.1", "w")).toThrow(
    "Too many open requests to apps from this address to this workspace, at most 2.",
  );
  visit("192.0.2.2", "w");
  visit("192.0.2.1", "another");
  leave();
  visit("192.0.2.1", "w");
  places.take({ userId: "ada", workspaceId: "w" });
  expect(() => visit("192.0.2.3", "w")).toThrow("of this workspace, at most 4");
});

test("all networks of an IPv6 line have twice the share of one at a workspace", () => {
  const places = new Places("requests to apps", { total: 100, perAddressOfWorkspace: 2 });
  const visit = (network: number) => places.take({ address: `2001:db8:1:20${network}::1`, workspaceId: "w" });
  for (const network of [0, 0, 1, 1]) visit(network);
  expect(() => visit(2)).toThrow("from this address to this workspace, at most 4");
});
