import { describe, expect, it } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { formatAddrPort, ip, parseAddrPort } from "wg-userspace/base/ip";
import { type EndpointSources, OwnEndpoints } from "./own-endpoints.ts";

const at = (text: string) => parseAddrPort(text)!;
const local = (address: string, internal = false, name = "eth0") => ({ interface: name, address, internal });

function sources(overrides: Partial<EndpointSources> = {}): EndpointSources {
  return {
    ports: { ipv4: 4000, ipv6: 6000 },
    local: [
      local("127.0.0.1", true),
      local("10.0.0.5"),
      local("fe80::1%eth0"),
      local("2001:db8::5"),
      local("::1", true),
    ],
    routed: [],
    mapped: [],
    portMapped: undefined,
    hardNat: false,
    fixedPort: false,
    ...overrides,
  };
}
const list = (given: EndpointSources, endpoints = new OwnEndpoints(), now = 0) =>
  endpoints.list(given, instant(now)).map(formatAddrPort);

it("names the port mapping first, then the STUN address, then the interfaces", () => {
  const given = sources({
    portMapped: at("203.0.113.1:77"),
    mapped: [at("203.0.113.1:4001"), at("[2001:db8::9]:6000")],
  });
  expect(list(given)).toEqual([
    "203.0.113.1:77",
    "203.0.113.1:4001",
    "[2001:db8::9]:6000",
    "10.0.0.5:4000",
    "[2001:db8::5]:6000",
  ]);
});

it("names loopback only where there is nothing else, and never an address that a peer may not probe", () => {
  const lonely = sources({ local: [local("127.0.0.1", true), local("::1", true), local("fe80::1%eth0")] });
  expect(list(lonely)).toEqual(["127.0.0.1:4000", "[::1]:6000"]);
  const tunnelled = sources({ local: [local("10.0.0.5"), local("fd7a:115c:a1e0::3")] });
  expect(list(tunnelled)).toEqual(["10.0.0.5:4000"]);
});

it("omits the address seen by a STUN server on this machine, unless there is no other", () => {
  expect(list(sources({ mapped: [at("127.0.0.1:4000")] }))).not.toContain("127.0.0.1:4000");
  expect(list(sources({ mapped: [at("127.0.0.1:4000")], local: [local("127.0.0.1", true)] }))).toEqual([
    "127.0.0.1:4000",
  ]);
});

it("behind a hard NAT a fixed port is offered on the public address, in case it is forwarded", () => {
  const hard = { mapped: [at("203.0.113.1:9999")], hardNat: true };
  expect(list(sources({ ...hard, fixedPort: true }))).toContain("203.0.113.1:4000");
  expect(list(sources(hard))).not.toContain("203.0.113.1:4000");
});

it("remembers public endpoints for five minutes, unless the network changed", () => {
  const endpoints = new OwnEndpoints();
  list(sources({ mapped: [at("203.0.113.1:4001")] }), endpoints, 0);
  expect(list(sources(), endpoints, 300_000)).toContain("203.0.113.1:4001");
  expect(list(sources(), endpoints, 320_000)).not.toContain("203.0.113.1:4001");
  list(sources({ mapped: [at("203.0.113.1:4001")] }), endpoints, 330_000);
  endpoints.forget();
  expect(list(sources(), endpoints, 330_001)).not.toContain("203.0.113.1:4001");
});

it("names at most 32", () => {
  const many = Array.from({ length: 100 }, (_, i) => local(`10.0.1.${i + 1}`));
  expect(list(sources({ local: many }))).toHaveLength(32);
});

describe("where there are more addresses than may be named", () => {
  const bridges = Array.from({ length: 60 }, (_, i) => local(`172.${17 + (i >> 8)}.${i}.1`, false, `br-${i}`));

  it("the default route's address comes first, bridges of containers last", () => {
    const crowded = sources({
      local: [...bridges, local("10.0.0.5", false, "wlan0"), local("192.168.7.2", false, "eth1")],
      routed: [ip("192.168.7.2")],
    });
    const named = list(crowded);
    expect(named).toHaveLength(32);
    expect(named.slice(0, 2)).toEqual(["192.168.7.2:4000", "10.0.0.5:4000"]);
  });

  it("a bridge that the default route leads over counts as a route", () => {
    const bridged = sources({
      local: [...bridges, local("192.168.7.2", false, "br-lan")],
      routed: [ip("192.168.7.2")],
    });
    expect(list(bridged)[0]).toBe("192.168.7.2:4000");
  });

  it("an interface with many addresses does not push out another one, nor one family the other", () => {
    const many = Array.from({ length: 40 }, (_, i) => local(`2001:db8::1:${i + 1}`));
    const named = list(sources({ local: [...many, local("10.0.0.5"), local("10.8.0.2", false, "tun0")] }));
    expect(named).toHaveLength(32);
    expect(named).toEqual(expect.arrayContaining(["10.0.0.5:4000", "10.8.0.2:4000"]));
  });

  it("ports that a hard NAT used earlier do not push out the interfaces", () => {
    const endpoints = new OwnEndpoints();
    let named: string[] = [];
    for (let i = 0; i < 60; i++)
      named = list(sources({ mapped: [at(`203.0.113.1:${5000 + i}`)] }), endpoints, 1000 * i);
    expect(named).toContain("10.0.0.5:4000");
    expect(named.slice(0, 2)).toEqual(["203.0.113.1:5059", "203.0.113.1:5058"]);
    expect(named.length).toBeLessThan(16);
  });
});
