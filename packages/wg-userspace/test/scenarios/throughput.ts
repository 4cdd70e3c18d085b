import { expect } from "vitest";
import type { LinkOptions } from "../../src/testing/link.ts";
import { type HostOptions, Pair, PatternSink, PatternSource } from "./tcp-harness.ts";

/** Mbit/s of payload between `fromMs` and `toMs` of a one-way bulk transfer. */
export function throughput(link: LinkOptions, fromMs: number, toMs: number, options: HostOptions = {}): number {
  const pair = new Pair(link, { seed: 7, ...options });
  const [a, b] = pair.connect();
  new PatternSource(a, 1e12, 1);
  const sink = new PatternSink(b, 1);
  pair.runFor(fromMs);
  const before = sink.received;
  pair.runFor(toMs - fromMs);
  expect(sink.wrongAt).toBe(-1);
  return ((sink.received - before) * 8) / ((toMs - fromMs) * 1000);
}

/** Measures each link and compares the table with its snapshot. */
export function matchThroughput(links: readonly (readonly [string, LinkOptions, HostOptions?])[]): void {
  const table: Record<string, number> = {};
  for (const [name, link, options] of links) {
    const mbps = throughput(link, 0, 10_000, options);
    // Rounded so that a change of one packet here or there does not matter.
    table[name] = mbps >= 10 ? Math.round(mbps) : Math.round(mbps * 2) / 2;
  }
  expect(table).toMatchSnapshot();
}
