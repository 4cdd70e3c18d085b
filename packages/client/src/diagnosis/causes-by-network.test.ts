/** Whole networks in virtual time, and the diagnosis of each. */

import { expect, it } from "vitest";
import { type AddrPort, ip, isIpv4 } from "wg-userspace/base/ip";
import { nodeCryptoSuite } from "wg-userspace/io/host/crypto-suite";
import type { NetReport } from "wg-userspace/netcheck/report";
import { Router, VirtualInternet } from "wg-userspace/testing/internet";
import { type VirtualNode, VirtualTunnel } from "wg-userspace/testing/virtual-tunnel";
import type { DirectSample } from "../node/path-report.ts";
import { candidateReports, endpointTexts, pathRef, relayChoice } from "../node/peer-paths.ts";
import { findCauses } from "./causes.ts";
import { isDecided } from "./search.ts";

/** How many requests a node sends in one run without answers. */
const STUN_TRIES = 8;

interface Lab {
  readonly net: VirtualTunnel;
  readonly routers: readonly [Router, Router];
  readonly nodes: readonly [VirtualNode, VirtualNode];
}

/** Client and workspace, each behind a home router, with addresses of the given families. */
function lab(families: readonly ["v4" | "v6", "v4" | "v6"] = ["v4", "v4"], seed = 81): Lab {
  const internet = new VirtualInternet(seed, { delayMs: 10, hops: 1 });
  const net = new VirtualTunnel(internet, nodeCryptoSuite);
  net.addStunServer(ip("203.0.113.1"));
  net.addStunServer(ip("2001:db8:ffff::1"));
  const site = (n: number): [Router, VirtualNode] => {
    const lan = internet.segment(`lan${n}`);
    const router = new Router(lan, internet.core, ip(`192.168.${n}.1`), ip(`198.51.100.${n}`), {});
    const v6 = ip(`2001:db8:${n}::10`);
    router.announce(v6);
    const address = families[n - 1] === "v6" ? v6 : ip(`192.168.${n}.10`);
    return [router, net.addNode({ segment: lan, addresses: [address] })];
  };
  const [first, client] = site(1);
  const [second, workspace] = site(2);
  return { net, routers: [first, second], nodes: [client, workspace] };
}

/** Two homes behind one carrier's router, which does or does not hairpin. */
function carrierLab(hairpin: boolean): Lab {
  const internet = new VirtualInternet(82, { delayMs: 10, hops: 1 });
  const net = new VirtualTunnel(internet, nodeCryptoSuite);
  net.addStunServer(ip("203.0.113.1"));
  const middle = internet.segment("carrier");
  new Router(middle, internet.core, ip("100.64.0.1"), ip("198.51.100.9"), { hairpin });
  const site = (n: number): [Router, VirtualNode] => {
    const lan = internet.segment(`lan${n}`);
    const router = new Router(lan, middle, ip(`192.168.${n}.1`), ip(`100.64.0.${n + 1}`), {});
    return [router, net.addNode({ segment: lan, addresses: [ip(`192.168.${n}.10`)] })];
  };
  const [first, client] = site(1);
  const [second, workspace] = site(2);
  return { net, routers: [first, second], nodes: [client, workspace] };
}

/** The result of a netcheck of that node. */
function netReport(node: VirtualNode, hairPinning: boolean | undefined): NetReport {
  const mapped = node.endpoints.find(
    ({ address }) => !node.host.addresses.some((own) => own.join() === address.join()),
  );
  const v6 = node.host.addresses.find((address) => !isIpv4(address));
  const global: AddrPort | undefined = mapped ?? (v6 === undefined ? undefined : { address: v6, port: node.host.port });
  const ipv4 = global !== undefined && isIpv4(global.address);
  return {
    udp: global !== undefined,
    ipv4,
    ipv6: global !== undefined && !ipv4,
    ipv4CanSend: ipv4,
    ipv6CanSend: !ipv4,
    osHasIpv6: true,
    icmpv4: false,
    mappingVariesByDestIp: ipv4 ? false : undefined,
    hairPinning,
    upnp: undefined,
    pmp: undefined,
    pcp: undefined,
    captivePortal: undefined,
    preferredDerp: 1,
    regionLatencyMs: new Map(),
    regionV4LatencyMs: new Map(),
    regionV6LatencyMs: new Map(),
    globalV4: ipv4 ? global : undefined,
    globalV6: ipv4 ? undefined : global,
    observations: [],
    unresolvedNames: [],
  };
}

function causesOf(
  { net, nodes: [client, workspace] }: Lab,
  more: { pingTimeoutMs?: number; nat64Prefix?: string; sample?: DirectSample } = {},
) {
  const { path, endpoint } = client.engine.peerStatus(workspace.engine.publicKey)!;
  const there = workspace.engine.peerStatus(client.engine.publicKey)!.endpoint.finder;
  return findCauses({
    report: {
      peerId: "w",
      path: pathRef(path, undefined),
      candidates: candidateReports(endpoint.finder, net.now),
      peerRegion: { id: 1, name: "R" },
      relayRttMs: endpoint.relayRttMs,
      relayChoice: relayChoice(endpoint.finder),
      peerEndpoints: endpointTexts(workspace.endpoints),
      ownRegion: { id: 1, name: "R" },
      ownEndpoints: endpointTexts(client.endpoints),
      sentNode: true,
      receivedNode: true,
      directBlocked: undefined,
      mtu: 1280,
      rxBytes: 0,
      txBytes: 0,
    },
    own: netReport(client, false),
    agent: netReport(workspace, false),
    agentView: { candidates: candidateReports(there, net.now) },
    ownInterfaces: [],
    agentInterfaces: [],
    mapHasStun: true,
    ...more,
  });
}

/** Lets both ends search for each other while a session is idle. */
function talk({ net, nodes: [client, workspace] }: Lab, ms: number): void {
  net.run(500);
  net.introduce(client, workspace);
  for (const end = net.now + ms; net.now < end; net.run(500)) {
    client.engine.netstack.ping("tsmp", workspace.tunnelAddress, () => undefined, net.now);
    workspace.engine.netstack.ping("tsmp", client.tunnelAddress, () => undefined, net.now);
  }
}

it.each<[string, () => Lab, string[], RegExp | undefined]>([
  ["two homes", () => lab(), [], undefined],
  [
    "IPv4 only here, IPv6 only there",
    () => lab(["v4", "v6"]),
    ["no-common-family"],
    /IPv4 only and the workspace IPv6 only/,
  ],
  [
    "IPv6 only here, IPv4 only there",
    () => lab(["v6", "v4"]),
    ["no-common-family"],
    /IPv6 only and the workspace IPv4 only/,
  ],
  [
    "a link that swallows packets above 1000 bytes",
    () => {
      const made = lab();
      made.net.internet.core.options = { ...made.net.internet.core.options, mtu: 1000 };
      return made;
    },
    ["mtu-black-hole"],
    /Small packets reach the workspace/,
  ],
  [
    "UDP that only comes in",
    () => {
      const made = lab();
      // Only STUN gets into the workspace's network.
      made.routers[1].inboundFilter = ({ port }) => port === 3478;
      return made;
    },
    ["one-way"],
    /one direction only/,
  ],
  [
    "UDP that only goes out",
    () => {
      const made = lab();
      made.routers[0].inboundFilter = ({ port }) => port === 3478;
      return made;
    },
    ["one-way"],
    /our probes arrive at the workspace, its answers and its own probes do not get here/,
  ],
  [
    "30 % of the packets lost, each way, from the start",
    () => {
      const made = lab();
      const { core } = made.net.internet;
      core.options = { ...core.options, loss: 0.3 };
      made.net.stunTries = STUN_TRIES;
      return made;
    },
    ["loss"],
    /loses \d+ % of the packets/,
  ],
  [
    "40 % of what comes from the workspace lost",
    () => {
      const made = lab();
      made.routers[0].inboundLoss = 0.4;
      made.net.stunTries = STUN_TRIES;
      return made;
    },
    ["loss"],
    /loses \d+ % of the packets/,
  ],
  ["two homes behind a CGNAT without hairpin", () => carrierLab(false), ["no-hairpin"], /behind one NAT/],
  ["two homes behind a CGNAT with hairpin", () => carrierLab(true), [], undefined],
  [
    "UDP that passes to STUN servers alone",
    () => {
      const made = lab();
      for (const router of made.routers) router.inboundFilter = ({ port }) => port === 3478;
      return made;
    },
    ["no-answer"],
    /None of the workspace's addresses answered/,
  ],
  [
    "a path that loses every fifth packet, each way",
    () => {
      const made = lab();
      const { core, now } = made.net.internet;
      made.net.internet.at(now + 5_000, () => {
        core.options = { ...core.options, loss: 0.2 };
      });
      return made;
    },
    ["loss"],
    /loses \d+ % of the packets/,
  ],
  [
    "a firewall that ends flows after 5 s",
    () => {
      const made = lab();
      made.routers[0].flowLimit = { ms: 5_000 };
      return made;
    },
    ["path-keeps-dying"],
    /keeps dying after about [3-7] s: a firewall ends the flow/,
  ],
  [
    "a direct path that is far slower than the relay",
    () => {
      const made = lab();
      made.net.internet.core.options = { ...made.net.internet.core.options, delayMs: 150 };
      made.net.relayDelayMs.set(1, 5);
      return made;
    },
    ["slow-direct-path"],
    /much slower than the relay/,
  ],
])("%s", (_name, make, codes, sentence) => {
  const made = make();
  talk(made, 60_000);
  const found = causesOf(made, { sample: sampleOf(made) });
  expect(found.map(({ code }) => code)).toEqual(codes);
  if (sentence !== undefined) expect(found[0]!.what).toMatch(sentence);
  for (const { evidence, fix, what } of found) {
    expect(evidence.length).toBeGreaterThan(0);
    expect(fix.length).toBeGreaterThan(10);
    expect(what).toMatch(/\.$/);
  }
});

it("behind NAT64 the cause is named as such", () => {
  const made = lab(["v6", "v4"]);
  talk(made, 10_000);
  const [cause] = causesOf(made, { nat64Prefix: "64:ff9b::/96" });
  expect(cause).toMatchObject({
    code: "nat64",
    evidence: expect.arrayContaining([expect.stringContaining("64:ff9b::/96")]),
  });
});

it("ping time-outs shorter than the round trip are distinguished from loss", () => {
  const made = lab();
  made.net.internet.core.options = { ...made.net.internet.core.options, delayMs: 400 };
  made.net.relayDelayMs.set(1, 300);
  made.routers[1].inboundFilter = ({ port }) => port === 3478;
  talk(made, 3_000);
  expect(causesOf(made, { pingTimeoutMs: 500 }).find(({ code }) => code === "ping-too-short")).toMatchObject({
    code: "ping-too-short",
    evidence: ["--timeout 500 ms, the fastest answer took 600 ms"],
    fix: "give pings more time: --timeout 2s",
  });
  expect(causesOf(made, { pingTimeoutMs: 5_000 }).map(({ code }) => code)).not.toContain("ping-too-short");
});

it("30 % loss each way: a search is not judged before it lasted long enough, and then the cause is the loss", () => {
  for (let seed = 1; seed <= 15; seed++) {
    const made = lab(["v4", "v4"], seed);
    const { core } = made.net.internet;
    core.options = { ...core.options, loss: 0.3 };
    made.net.stunTries = STUN_TRIES;
    talk(made, 6_000);
    const [client, workspace] = made.nodes;
    const report = () => {
      const { path, endpoint } = client.engine.peerStatus(workspace.engine.publicKey)!;
      const candidates = candidateReports(endpoint.finder, made.net.now);
      return { path: pathRef(path, undefined), directBlocked: undefined, candidates };
    };
    for (let longer = 0; longer < 14_000 && !isDecided(report()); longer += 500) made.net.run(500);
    const sample = sampleOf(made);
    expect(sample.answered, `seed ${seed}`).toBeGreaterThan(0);
    expect(
      causesOf(made, { sample }).map(({ code }) => code),
      `seed ${seed}`,
    ).toEqual(["loss"]);
  }
});

/** Forty probes to the address from which the workspace last answered, as a diagnosis sends them. */
function sampleOf({ net, nodes: [client, workspace] }: Lab): DirectSample {
  let answered = 0;
  let lastAnswered = 0;
  let sent = 0;
  while (sent < 40) {
    const number = ++sent;
    const onPong = (): void => {
      answered++;
      lastAnswered = Math.max(lastAnswered, number);
    };
    if (!client.engine.pingDirect(workspace.engine.publicKey, onPong, net.now)) break;
    net.run(50);
  }
  net.run(1_000);
  return { sent, answered, silentAtEnd: sent - lastAnswered };
}
