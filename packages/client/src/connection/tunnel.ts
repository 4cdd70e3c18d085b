/**
 * Our end of a tunnel to one agent. It is begun before the agent is known, so that relay and STUN work overlaps with the lookup.
 */
import { randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import type { Logger } from "wg-userspace/base/ports";
import type { DerpMap } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { ClientError } from "../base/client-error.ts";
import type { RegionFallback } from "../node/node-core.ts";
import type { DirectBlock } from "../node/path-report.ts";
import { describeRegions, findRegion } from "../node/relay-choice.ts";
import { TailnetNode } from "../node/tailnet-node.ts";
import { type ConnectionInfo, connectionInfoOf } from "../rest/connection-info.ts";
import type { Deployment } from "../rest/deployment.ts";
import { isProxy } from "../rest/regions.ts";
import { askConnectionInfo } from "../rest/workspaces.ts";

export interface TunnelChoices {
  /** Never connect directly, even if the deployment allows it. */
  readonly disableDirect?: boolean | undefined;
  /**
   * Home region by id, code or name, or by the name of a workspace proxy, instead of the one with the shortest route. While its
   * relay does not answer, the automatic choice is used.
   */
  readonly region?: string | undefined;
  /** Called when that region is given up for the automatic choice. */
  readonly onRegionFallback?: ((fallback: RegionFallback) => void) | undefined;
  readonly logger?: Logger | undefined;
}

export interface TunnelOptions extends TunnelChoices {
  readonly deployment: Deployment;
  /** The deployment's answer to {@link askConnectionInfo}, if it was already requested. */
  readonly connectionInfo?: Promise<unknown> | undefined;
}

export interface Tunnel {
  /** Owned by the caller, which closes it. */
  readonly node: TailnetNode;
  /** The wanted agent, once it is known. */
  destination: string | undefined;
}

/** Asks the deployment how to reach agents, and starts connecting to a relay. Rejects with ClientError or EngineError. */
export async function openTunnel(options: TunnelOptions, signal: AbortSignal): Promise<Tunnel> {
  const { deployment, logger, region, onRegionFallback } = options;
  const info = connectionInfoOf(await (options.connectionInfo ?? askConnectionInfo(deployment, { signal })));
  if (region !== undefined) await requireRegion(region, info.derpMap, deployment, signal);
  let tunnel: Tunnel | undefined;
  const node = await TailnetNode.open({
    deployment,
    addresses: [randomClientAddress(nodeRandom)],
    nodeId: randomNodeId(nodeRandom),
    forceWebSocket: info.forceWebSocket,
    maxPeers: 4,
    directBlocked: directBlockOf(options.disableDirect === true, info),
    region,
    onRegionFallback,
    isDestination: (id) => id === tunnel?.destination,
    logger,
  });
  node.setDerpMap(info.derpMap);
  tunnel = { node, destination: undefined };
  return tunnel;
}

/** What forbids direct connections, if anything does. */
export function directBlockOf(byThisClient: boolean, info: ConnectionInfo): DirectBlock {
  if (byThisClient) return "this-client";
  return info.disableDirectConnections ? "deployment" : undefined;
}

/** An unhealthy workspace proxy has no region in the map, but its name stays known. */
async function requireRegion(region: string, map: DerpMap, deployment: Deployment, signal: AbortSignal): Promise<void> {
  if (findRegion(map, region) !== undefined || (await isProxy(deployment, region, signal))) return;
  throw new ClientError(
    "ERR_UNKNOWN_RELAY",
    `The deployment has no relay region "${region}"; it has: ${describeRegions(map)}`,
  );
}
