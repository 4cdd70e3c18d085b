import { expect, test } from "vitest";
import { stunListenAddress } from "./stun-address.ts";

const at = (host: string) => ({ host, port: 3478 });

test.each([
  ["loopback only", at("127.0.0.1"), undefined, "", "127.0.0.1"],
  ["loopback by name and URL", at("localhost"), "http://[::1]:3000", "", "127.0.0.1"],
  ["behind a proxy on this machine", at("127.0.0.1"), "https://coder.example.com", "", ""],
  ["on an interface", at("192.0.2.1"), undefined, "", ""],
  ["everywhere", at(""), undefined, "", ""],
  ["told otherwise", at("127.0.0.1"), undefined, "0.0.0.0", "0.0.0.0"],
])("a server %s", (_what, http, accessUrl, wanted, expected) => {
  const config = { http, tls: undefined, accessUrl: accessUrl === undefined ? undefined : new URL(accessUrl) };
  expect(stunListenAddress(config, at(wanted)).host).toBe(expected);
});
