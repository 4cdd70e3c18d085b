/**
 * Five hundred random networks per run, in several test files: two nodes behind random routers, over random links, with something happening to
 * them in the middle. An oracle knows which pairs can be direct. The same networks every time, so that a gate never fails by
 * luck; SIMULATION_BASE=random draws new ones, SIMULATION_BASE=<n> another five hundred. A failing seed is printed, leaves a
 * capture in .build/, and is repeated with SIMULATION_SEED=<seed>. Seeds that once failed stay in the list.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { Instant } from "../../src/base/instant.ts";
import { ip } from "../../src/base/ip.ts";
import type { Datagram, RouterOptions } from "../../src/testing/internet.ts";
import { LinkRandom } from "../../src/testing/link.ts";
import { Pcap } from "../../src/testing/pcap.ts";
import type { VirtualNode } from "../../src/testing/virtual-tunnel.ts";
import { canBeDirect, SITE_KINDS, type Site, Sites, Ticker } from "./sites.ts";

const RUNS = 500;
const CASE = 25;
/** Captures per test file. */
const MAX_CAPTURES = 5;
const FAILED_ONCE: readonly number[] = [
  1935369435, // a timer of the packet size search that stayed due while the path was under suspicion
  778325, // both sides changed their ports at once
];
const EVENTS = ["nothing", "flush", "udp-outage", "relay-outage", "move", "sleep", "renumber"] as const;
type Event = (typeof EVENTS)[number];

interface Plan {
  readonly seed: number;
  readonly kinds: readonly [(typeof SITE_KINDS)[number], (typeof SITE_KINDS)[number]];
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly router: RouterOptions;
  readonly event: Event;
  readonly sender: 0 | 1;
}

function planOf(seed: number): Plan {
  const random = new LinkRandom(seed);
  const pick = <T>(from: readonly T[]): T => from[random.uint32() % from.length]!;
  return {
    seed,
    kinds: [pick(SITE_KINDS), pick(SITE_KINDS)],
    delayMs: pick([1, 5, 20, 50, 100, 150]),
    jitterMs: pick([0, 0, 2, 20]),
    loss: pick([0, 0, 0, 0.01, 0.05]),
    router: { expiryMs: pick([30_000, 120_000]), openInput: pick([false, false, true]) },
    event: pick(EVENTS),
    sender: pick([0, 1] as const),
  };
}

/** Undefined when all went well, otherwise the failure. */
function run(plan: Plan, onDatagram?: (datagram: Datagram, now: Instant) => void): string | undefined {
  const sites = new Sites(plan.seed, {
    delayMs: plan.delayMs,
    jitterMs: plan.jitterMs,
    loss: plan.loss,
    hops: 1,
  });
  if (onDatagram !== undefined)
    sites.internet.onDatagram = (datagram, where, now) => {
      if (where === "core") onDatagram(datagram, now);
    };
  const { net } = sites;
  const at: readonly [Site, Site] = [sites.add(plan.kinds[0], plan.router), sites.add(plan.kinds[1], plan.router)];
  const nodes: readonly [VirtualNode, VirtualNode] = [sites.node(at[0]), sites.node(at[1])];
  const [a, b] = nodes;
  const direct = (): boolean => a.isDirectTo(b) && b.isDirectTo(a);
  const possible = canBeDirect(plan.kinds[0], plan.kinds[1]);
  // A relay is a host of the same internet: the detour through it is no shorter than the direct way.
  net.relayDelayMs.set(1, plan.delayMs + 10);
  net.run(600 + 4 * plan.delayMs);
  net.introduce(a, b);
  const ticker = new Ticker(net, nodes[plan.sender], nodes[1 - plan.sender]!, 99, 50, 400);
  if (net.run(possible ? 20_000 : 6_000, direct) !== possible)
    return `first path: ${a.pathTo(b)}, ${b.pathTo(a)}; possible: ${possible}`;
  net.run(2_000);
  ticker.resetGap();
  const limit = applyEvent(plan.event, sites, at, nodes);
  // A lossy link may drop several retransmissions in a row.
  const patience = limit * (plan.loss > 0 ? 3 : 1) + 8 * plan.delayMs;
  if (ticker.longestGapMs > patience) return `a gap of ${Math.round(ticker.longestGapMs)} ms, at most ${patience}`;
  if (!ticker.intact) return "the stream was damaged";
  const now = plan.event === "move" ? canBeDirect("home", plan.kinds[1]) : possible;
  // A confused router costs up to two changes of the local port.
  if (net.run(now ? 90_000 : 3_000, direct) !== now)
    return `last path: ${a.pathTo(b)}, ${b.pathTo(a)}; possible: ${now}`;
  const received = ticker.received;
  net.run(3_000);
  return ticker.received > received ? undefined : "nothing arrives in the end";
}

/** Applies the event and lets the seconds after it pass. Returns the longest silence that is acceptable, ms. */
function applyEvent(event: Event, sites: Sites, at: readonly [Site, Site], nodes: readonly VirtualNode[]): number {
  const { net } = sites;
  const a = nodes[0]!;
  switch (event) {
    case "nothing":
      net.run(5_000);
      return 1_500;
    case "flush":
      for (const site of at) site.router?.flush();
      net.run(8_000);
      return 3_500;
    case "udp-outage":
      for (const site of at) if (site.router) site.router.options = { ...site.router.options, udpBlocked: true };
      net.run(8_000);
      for (const site of at)
        if (site.router && site.kind !== "blocked") site.router.options = { ...site.router.options, udpBlocked: false };
      return 3_500;
    case "relay-outage":
      net.relaysDown.add(1);
      net.run(4_000);
      net.relaysDown.clear();
      net.run(4_000);
      return 8_000;
    case "move": {
      const elsewhere = sites.add("home");
      a.host.move(elsewhere.lan, elsewhere.newAddresses());
      a.networkChanged();
      net.run(8_000);
      return 2_500;
    }
    case "sleep":
      a.host.frozen = true;
      net.run(120_000);
      a.host.frozen = false;
      net.run(8_000);
      return 130_000;
    case "renumber":
      at[0].router?.renumber(ip("198.51.101.7"));
      net.run(8_000);
      return 3_500;
  }
}

function seeds(): number[] {
  const wanted = process.env["SIMULATION_SEED"];
  if (wanted !== undefined) return [Number(wanted)];
  const chosen = process.env["SIMULATION_BASE"] ?? "1";
  const base = new LinkRandom(chosen === "random" ? Date.now() & 0x7fffffff : Number(chosen));
  return [...FAILED_ONCE, ...Array.from({ length: RUNS }, () => base.uint32())];
}

function failureOf(plan: Plan): string | undefined {
  try {
    return run(plan);
  } catch (error) {
    return String(error);
  }
}

function capture(plan: Plan): void {
  const pcap = new Pcap();
  try {
    run(plan, (datagram, now) => pcap.add(datagram, now));
  } catch {
    // The failure itself; the capture ends there.
  }
  const folder = join(import.meta.dirname, "../../../../.build/simulation");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${plan.seed}.pcap`), pcap.bytes());
}

/**
 * The networks of one test file: the `part`th of `parts`, several per case, so that a busy machine has time enough for each case.
 */
export function testNetworks(part: number, parts: number): void {
  const mine = seeds().filter((_, index) => index % parts === part - 1);
  if (mine.length === 0) it.skip("SIMULATION_SEED chose a network of another file");
  let captures = 0;
  for (let first = 0; first < mine.length; first += CASE) {
    const some = mine.slice(first, first + CASE);
    it(`networks ${first + 1} to ${first + some.length}`, () => {
      const failures: string[] = [];
      for (const plan of some.map(planOf)) {
        const failure = failureOf(plan);
        if (failure === undefined) continue;
        failures.push(`${JSON.stringify(plan)}: ${failure}`);
        if (captures++ < MAX_CAPTURES) capture(plan);
      }
      expect(failures).toEqual([]);
    });
  }
}
