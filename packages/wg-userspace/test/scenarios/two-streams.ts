import { Link, type LinkOptions } from "../../src/testing/link.ts";
import { Sink, sendForever } from "./bulk-transfer.ts";
import { Lane } from "./shared-link.ts";
import { type HostOptions, Pair } from "./tcp-harness.ts";

/** Two streams that start together. @returns the ratio of what the two received in 30 s, 1 or more. */
export function unfairness(link: LinkOptions, second: HostOptions): number {
  const shared = new Link(link, 1);
  const owners = new WeakMap<Uint8Array, Lane>();
  const pairs = [{}, second].map(
    (options, i) => new Pair([new Lane(shared, owners), { delayMs: link.delayMs! }], { ...options, seed: 1 + i }),
  );
  const sinks = pairs.map((pair) => {
    const [a, b] = pair.connect();
    sendForever(a);
    pair.flush();
    return new Sink(b);
  });
  const until = pairs[0]!.now + 30_000;
  for (;;) {
    const next = Math.min(...pairs.map((pair) => pair.nextEvent()));
    if (next > until) break;
    for (const pair of pairs) pair.step(next);
  }
  const received = sinks.map((sink) => sink.received);
  return Math.max(...received) / Math.min(...received);
}
