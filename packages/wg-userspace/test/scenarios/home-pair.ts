/** Two homes that know each other, and measurements of their path. */
import type { VirtualNode } from "../../src/testing/virtual-tunnel.ts";
import { Sites, type Transfer } from "./sites.ts";

export const REGION = 1;
export const RELAY = `relay ${REGION}`;

export function homePair(seed: number) {
  const sites = new Sites(seed);
  const a = sites.node(sites.add("home"));
  const b = sites.node(sites.add("home"));
  const { net } = sites;
  net.run(500);
  net.introduce(a, b);
  return { sites, net, a, b, core: sites.internet.core };
}

export const bothDirect = (a: VirtualNode, b: VirtualNode) => a.isDirectTo(b) && b.isDirectTo(a);
export const qualityOf = (a: VirtualNode, b: VirtualNode) =>
  a.engine.peerStatus(b.engine.publicKey)!.endpoint.finder!.quality;
/** How many events the node has had since it had `count`. */
export const changesSince = (node: VirtualNode, count: number) => node.events.length - count;
/** Bytes per second that arrive at the other end during this many ms. */
export const bytesPerSecond = (net: { run(ms: number): boolean }, transfer: Transfer, ms: number): number => {
  const before = transfer.sink.received;
  net.run(ms);
  return ((transfer.sink.received - before) * 1000) / ms;
};
