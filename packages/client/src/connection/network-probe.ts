/**
 * Examines the network between this machine and a deployment, without a workspace: STUN, relay latencies, and a packet through
 * every relay. Announces our key to the coordinator, since relays serve only keys that it knows.
 */
import { randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import type { Logger } from "wg-userspace/base/ports";
import { type DerpMap, hasRelay } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import type { NetReport } from "wg-userspace/netcheck/report";
import { Coordination } from "../control/coordination.ts";
import { TailnetNode } from "../node/tailnet-node.ts";
import { fetchConnectionInfo } from "../rest/connection-info.ts";
import type { Deployment } from "../rest/deployment.ts";
import { fetchProxies, type ProxyRef } from "../rest/regions.ts";
import { directBlockOf } from "./tunnel.ts";

const RELAY_LIMIT_MS = 8_000;

export interface RelayProbe {
  readonly regionId: number;
  /** Round trip of a packet through the relay; absent when it did not return. */
  readonly roundTripMs?: number;
  readonly error?: string;
  readonly usesWebSocket: boolean;
}

export interface NetworkProbe {
  readonly map: DerpMap;
  readonly report: NetReport;
  readonly relays: readonly RelayProbe[];
  readonly directBlocked: "this-client" | "deployment" | undefined;
  /** Undefined when the deployment did not list them. */
  readonly proxies: readonly ProxyRef[] | undefined;
}

export interface ProbeOptions {
  readonly deployment: Deployment;
  readonly disableDirect: boolean;
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/** Rejects when the deployment cannot be asked, or with `signal.reason`. Failures of the network are part of the result. */
export async function probeNetwork(options: ProbeOptions): Promise<NetworkProbe> {
  const { deployment, signal, logger } = options;
  const info = await fetchConnectionInfo(deployment, { signal });
  const directBlocked = directBlockOf(options.disableDirect, info);
  const node = await TailnetNode.open({
    deployment,
    addresses: [randomClientAddress(nodeRandom)],
    nodeId: randomNodeId(nodeRandom),
    forceWebSocket: info.forceWebSocket,
    maxPeers: 1,
    isDestination: () => false,
    directBlocked,
    logger,
  });
  node.setDerpMap(info.derpMap);
  const coordination = new Coordination({ deployment, node, logger });
  coordination.start();
  try {
    const [report, relays, proxies] = await Promise.all([
      node.checkNetwork(signal),
      probeRelays(node, signal),
      listProxies(options),
    ]);
    return { map: node.derpMap ?? info.derpMap, report, relays, directBlocked, proxies };
  } finally {
    await coordination.close();
    await node.close();
  }
}

/** The report is useful without the proxies too. */
async function listProxies({ deployment, signal, logger }: ProbeOptions): Promise<ProxyRef[] | undefined> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(RELAY_LIMIT_MS)]);
  try {
    return await fetchProxies(deployment, { signal: limit });
  } catch (error) {
    signal.throwIfAborted();
    logger.log("warn", "the workspace proxies could not be listed", { error: String(error) });
    return undefined;
  }
}

async function probeRelays(node: TailnetNode, signal: AbortSignal): Promise<RelayProbe[]> {
  const regions = [...(node.derpMap?.regions.values() ?? [])].filter(hasRelay);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(RELAY_LIMIT_MS)]);
  return Promise.all(
    regions.map(async ({ regionId }) => {
      try {
        const roundTripMs = await node.driver.relays.ping(regionId, { signal: limit });
        return { regionId, roundTripMs, usesWebSocket: node.forcedWebSocket.has(regionId) };
      } catch (error) {
        signal.throwIfAborted();
        const why =
          node.driver.relays.errorOf(regionId)?.message ?? (limit.aborted ? "no answer in time" : String(error));
        return { regionId, error: why, usesWebSocket: node.forcedWebSocket.has(regionId) };
      }
    }),
  );
}
