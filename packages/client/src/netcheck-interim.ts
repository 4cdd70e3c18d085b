/** Stands in until io/netcheck lands. */
import { lookup } from "node:dns/promises";
import { hexEncode } from "wg-userspace/base/bytes";
import { type AddrPort, parseIp } from "wg-userspace/base/ip";
import type { Logger } from "wg-userspace/base/ports";
import { type DerpMap, hasRelay } from "wg-userspace/derp/map";
import { monotonicNow } from "wg-userspace/io/clock";
import { nodeRandom } from "wg-userspace/io/crypto-suite";
import type { RelayDialer } from "wg-userspace/io/relay-dialer";
import { measureLatency } from "wg-userspace/io/relay-latency";
import type { NetReport } from "wg-userspace/netcheck/report";
import { encodeBindingRequest, parseBindingResponse } from "wg-userspace/stun/message";

export interface NetcheckOptions {
  readonly map: DerpMap;
  readonly socket:
    | {
        readonly families: { readonly ipv4: boolean; readonly ipv6: boolean };
        send(to: AddrPort, bytes: Uint8Array): void;
        onStun(listener: (datagram: Uint8Array, address: string, port: number) => void): () => void;
      }
    | undefined;
  readonly previous?: NetReport;
  readonly full?: boolean;
  readonly dialer: RelayDialer;
  readonly headers?: Readonly<Record<string, string>>;
  readonly measureRelays: boolean;
  readonly onMapped?: (mapped: AddrPort) => void;
  readonly signal: AbortSignal;
  readonly logger?: Logger;
}

export async function runNetcheck(options: NetcheckOptions): Promise<NetReport> {
  const { map, socket, signal } = options;
  const pending = new Map<string, { regionId: number; node: string; server: AddrPort; at: number }>();
  const observations: NetReport["observations"][number][] = [];
  const stop = socket?.onStun((datagram) => {
    const response = parseBindingResponse(datagram);
    const probe = response && pending.get(hexEncode(response.transactionId));
    if (!probe) return;
    pending.delete(hexEncode(response.transactionId));
    observations.push({ ...probe, mapped: response.mapped, rttMs: monotonicNow() - probe.at });
    options.onMapped?.(response.mapped);
  });
  const latencies = new Map<number, number>();
  const jobs: Promise<unknown>[] = [];
  for (const region of map.regions.values()) {
    for (const node of region.nodes) {
      if (socket === undefined || node.stunPort < 0) continue;
      jobs.push(
        (async () => {
          const address =
            parseIp(node.ipv4) ?? parseIp(node.hostName) ?? parseIp((await lookup(node.hostName, 4)).address);
          if (address === undefined) return;
          const server = { address, port: node.stunPort || 3478 };
          const id = nodeRandom.bytes(12);
          pending.set(hexEncode(id), { regionId: region.regionId, node: node.name, server, at: monotonicNow() });
          socket.send(server, encodeBindingRequest(id));
        })().catch(() => undefined),
      );
    }
    if (options.measureRelays && hasRelay(region))
      jobs.push(
        measureLatency(region, { dialer: options.dialer, headers: options.headers ?? {}, signal }).then(
          (ms) => latencies.set(region.regionId, ms),
          () => undefined,
        ),
      );
  }
  await Promise.all(jobs);
  await new Promise((resolve) => setTimeout(resolve, 300));
  stop?.();
  const v4 = observations.filter((one) => one.mapped.address.length === 4);
  return {
    udp: observations.length > 0,
    ipv4: v4.length > 0,
    ipv6: v4.length < observations.length,
    ipv4CanSend: true,
    ipv6CanSend: true,
    osHasIpv6: true,
    icmpv4: false,
    mappingVariesByDestIp: v4.length < 2 ? undefined : v4.some((one) => one.mapped.port !== v4[0]!.mapped.port),
    hairPinning: undefined,
    upnp: undefined,
    pmp: undefined,
    pcp: undefined,
    captivePortal: undefined,
    preferredDerp: 0,
    regionLatencyMs: latencies,
    regionV4LatencyMs: latencies,
    regionV6LatencyMs: new Map(),
    globalV4: v4[0]?.mapped,
    globalV6: undefined,
    observations,
  };
}
