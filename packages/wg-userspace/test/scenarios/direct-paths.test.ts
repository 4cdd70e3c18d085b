/** Whole engines behind simulated routers: which path they take, and what happens when it changes under a transfer. */
import { describe, expect, it } from "vitest";
import { ip } from "../../src/base/ip.ts";
import type { VirtualNode, VirtualTunnel } from "../../src/testing/virtual-tunnel.ts";
import { bothDirect, canBeDirect, SITE_KINDS, Sites, Transfer } from "./sites.ts";

const REGION = 1;

/** One datagram to the peer, as an idle session sends. */
function talk(net: VirtualTunnel, from: VirtualNode, to: VirtualNode): () => void {
  let over = false;
  const again = (): void => {
    if (over) return;
    from.engine.netstack.ping("tsmp", to.tunnelAddress, () => undefined, net.now);
    net.internet.at(net.now + 500, again);
  };
  again();
  return () => {
    over = true;
  };
}

describe("every pair of sites", () => {
  for (const [i, left] of SITE_KINDS.entries()) {
    for (const right of SITE_KINDS.slice(i)) {
      const expected = canBeDirect(left, right);
      it(`${left} and ${right}: ${expected ? "direct" : "relayed"}`, () => {
        const sites = new Sites(7);
        const a = sites.node(sites.add(left));
        const b = sites.node(sites.add(right));
        sites.net.run(500);
        sites.net.introduce(a, b);
        const stop = talk(sites.net, a, b);
        const direct = sites.net.run(12_000, () => bothDirect(a, b));
        expect({ direct, a: a.pathTo(b), b: b.pathTo(a) }).toMatchObject({ direct: expected });
        if (!expected) expect([a.pathTo(b), b.pathTo(a)]).toEqual([`relay ${REGION}`, `relay ${REGION}`]);
        stop();
      });
    }
  }
});

it("stateful firewalls without translation cost no more than one round trip", () => {
  const sites = new Sites(41);
  const a = sites.node(sites.add("ipv6-only"));
  const b = sites.node(sites.add("ipv6-only"));
  sites.net.run(500);
  sites.net.introduce(a, b);
  talk(sites.net, a, b);
  expect(sites.net.run(200, () => bothDirect(a, b))).toBe(true);
});

describe("a router with another, predictable port per destination", () => {
  it.each([
    ["counts up", { ports: "sequential" }],
    ["draws from 64 ports", { ports: "random", pool: 64 }],
  ] as const)("%s: its ports are guessed", (_habit, options) => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const sites = new Sites(seed);
      const a = sites.node(sites.add("symmetric", options));
      const b = sites.node(sites.add("home"));
      sites.net.run(500);
      sites.net.introduce(a, b);
      talk(sites.net, a, b);
      expect(
        sites.net.run(20_000, () => bothDirect(a, b)),
        `seed ${seed}`,
      ).toBe(true);
    }
  });
});

describe("sites that share something", () => {
  it("two nodes on one LAN meet there, without STUN", () => {
    const sites = new Sites(3);
    const home = sites.add("symmetric");
    sites.net.stunServers.length = 0;
    const a = sites.node(home);
    const b = sites.node(home);
    sites.net.run(500);
    sites.net.introduce(a, b);
    talk(sites.net, a, b);
    expect(sites.net.run(3_000, () => bothDirect(a, b))).toBe(true);
    expect(a.pathTo(b)).toContain("192.168.1.11");
  });

  it.each([true, false])("two homes behind one carrier router: hairpin %s decides", (hairpin) => {
    const sites = new Sites(5);
    const first = sites.add("carrier");
    first.carrier!.options = { ...first.carrier!.options, hairpin };
    const second = sites.add("home");
    // The second home's router is attached to the first one's carrier network.
    sites.internet.core.detach(second.router!.outsideAddress);
    const moved = new (Object.getPrototypeOf(second.router).constructor)(
      second.lan,
      first.router!.outside,
      ip("192.168.2.1"),
      ip("100.64.1.3"),
      { ...second.router!.options },
    );
    expect(moved.outside).toBe(first.router!.outside);
    const a = sites.node(first);
    const b = sites.node(second);
    sites.net.run(500);
    sites.net.introduce(a, b);
    talk(sites.net, a, b);
    expect(sites.net.run(12_000, () => bothDirect(a, b))).toBe(hairpin);
  });
});

describe("a transfer", () => {
  const pair = (seed: number) => {
    const sites = new Sites(seed);
    const a = sites.node(sites.add("home"));
    const b = sites.node(sites.add("home"));
    const { net } = sites;
    net.run(500);
    net.introduce(a, b);
    return { sites, net, a, b };
  };

  it("starts by relay and moves to the direct path without losing a byte", () => {
    const { net, a, b } = pair(11);
    const transfer = new Transfer(net, a, b, 2_000_000, 1);
    expect(net.run(60_000, () => transfer.done)).toBe(true);
    expect(transfer.sink.wrongAt).toBe(-1);
    expect(a.events[0]).toContain("relay");
    expect(bothDirect(a, b)).toBe(true);
  });
});

describe("packet sizes", () => {
  const overLink = (mtu: number, ownMtus: readonly [number, number] = [1420, 1420]) => {
    const sites = new Sites(21, { delayMs: 5, hops: 1, mtu });
    const lan = { delayMs: 0.2, mtu: Math.max(1500, mtu) };
    const [a, b] = [
      sites.node(sites.add("home", {}, lan), { mtu: ownMtus[0] }),
      sites.node(sites.add("home", {}, lan), { mtu: ownMtus[1] }),
    ];
    sites.net.run(500);
    sites.net.introduce(a, b);
    return { sites, net: sites.net, a, b };
  };
  const mtuOf = (a: VirtualNode, b: VirtualNode) => a.engine.peerStatus(b.engine.publicKey)!.endpoint.finder!.mtu;

  it("grow to the path's MTU", () => {
    const { net, a, b } = overLink(1500);
    const transfer = new Transfer(net, a, b, 3_000_000, 1);
    expect(net.run(60_000, () => transfer.done)).toBe(true);
    expect(mtuOf(a, b)).toBe(1420);
    expect(transfer.sink.wrongAt).toBe(-1);
  });

  it("grow to jumbo frames where the path carries them, and shrink when it no longer does", () => {
    const { sites, net, a, b } = overLink(9000, [8920, 8920]);
    const transfer = new Transfer(net, a, b, 100_000_000, 1);
    expect(net.run(10_000, () => bothDirect(a, b) && mtuOf(a, b) === 8920)).toBe(true);
    expect(net.run(5_000, () => transfer.sink.received > 5_000_000)).toBe(true);
    sites.internet.core.options = { ...sites.internet.core.options, mtu: 1500 };
    net.run(50);
    const received = transfer.sink.received;
    expect(net.run(6_000, () => transfer.sink.received > received + 1_000_000)).toBe(true);
    expect(net.run(90_000, () => mtuOf(a, b) === 1420)).toBe(true);
    expect(transfer.sink.wrongAt).toBe(-1);
  });

  it("grow to those of a loopback interface for bulk data, and to no more than a jumbo path carries", () => {
    for (const [carried, expected] of [
      [65_536, 65_456],
      [9000, 8920],
    ] as const) {
      const { net, a, b } = overLink(carried, [65_456, 65_456]);
      const little = new Transfer(net, a, b, 50_000, 1);
      expect(net.run(60_000, () => little.done && bothDirect(a, b) && mtuOf(a, b) === 8920)).toBe(true);
      net.run(3_000);
      expect(mtuOf(a, b)).toBe(8920);
      const transfer = new Transfer(net, a, b, 20_000_000, 1, 81);
      expect(net.run(60_000, () => transfer.done && mtuOf(a, b) === expected)).toBe(true);
      expect(transfer.sink.wrongAt).toBe(-1);
      net.run(10_000);
      expect(mtuOf(a, b)).toBe(expected);
    }
  });

  it("of a peer that accepts no jumbo frames stay at those of Ethernet", () => {
    const { net, a, b } = overLink(9000, [8920, 1420]);
    const transfer = new Transfer(net, a, b, 3_000_000, 1);
    expect(net.run(60_000, () => transfer.done)).toBe(true);
    expect(net.run(60_000, () => mtuOf(a, b) === 1420)).toBe(true);
    net.run(10_000);
    expect([mtuOf(a, b), mtuOf(b, a)]).toEqual([1420, 1420]);
    expect(transfer.sink.wrongAt).toBe(-1);
  });

  it("stay at 1280 on a path that carries no more", () => {
    const { net, a, b } = overLink(1345);
    const transfer = new Transfer(net, a, b, 3_000_000, 1);
    expect(net.run(60_000, () => transfer.done && bothDirect(a, b))).toBe(true);
    net.run(5_000);
    expect(mtuOf(a, b)).toBe(1280);
  });

  it("decide against a path that cannot carry full-size packets", () => {
    const { net, a, b } = overLink(1280);
    const transfer = new Transfer(net, a, b, 1_000_000, 1);
    expect(net.run(60_000, () => transfer.done)).toBe(true);
    expect([a.pathTo(b), b.pathTo(a)]).toEqual([`relay ${REGION}`, `relay ${REGION}`]);
    expect(transfer.sink.wrongAt).toBe(-1);
  });

  it("shrink within seconds when a path stops carrying them", () => {
    const { sites, net, a, b } = overLink(1500);
    const transfer = new Transfer(net, a, b, 100_000_000, 1);
    expect(net.run(10_000, () => bothDirect(a, b) && mtuOf(a, b) === 1420)).toBe(true);
    sites.internet.core.options = { ...sites.internet.core.options, mtu: 1360 };
    net.run(50);
    const received = transfer.sink.received;
    expect(net.run(6_000, () => transfer.sink.received > received + 1_000_000)).toBe(true);
    expect(mtuOf(a, b)).toBe(1280);
    expect(transfer.sink.wrongAt).toBe(-1);
  });
});

describe("routers that take early probes for their own traffic", () => {
  it.each([
    ["both open", true, true],
    ["one open", true, false],
  ])("%s: the opening packets keep the flow intact", (_name, left, right) => {
    for (const lead of [0, 50, 300]) {
      const sites = new Sites(31);
      const a = sites.node(sites.add("home", { openInput: left }));
      const b = sites.node(sites.add("home", { openInput: right }));
      const { net } = sites;
      net.run(500);
      net.introduce(a, b);
      net.run(200);
      const stop = talk(net, a, b);
      net.run(lead);
      const stopToo = talk(net, b, a);
      expect(
        net.run(5_000, () => bothDirect(a, b)),
        `lead ${lead} ms`,
      ).toBe(true);
      stop();
      stopToo();
    }
  });
});
