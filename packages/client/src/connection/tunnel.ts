/** Our end of a tunnel to one agent. It is begun before the agent is known, so that relay and STUN overlap with the lookup. */
import { randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import type { Logger } from "wg-userspace/base/ports";
import type { DerpMap } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { ClientError } from "../base/client-error.ts";
import type { DirectBlock } from "../node/path-report.ts";
import { describeRegions, findRegion } from "../node/relay-choice.ts";
import { TailnetNode } from "../node/tailnet-node.ts";
import { type ConnectionInfo, connectionInfoOf } from "../rest/connection-info.ts";
import type { Deployment } from "../rest/deployment.ts";
import { askConnectionInfo } from "../rest/workspaces.ts";

export interface TunnelChoices {
  /** Never connect directly, although the deployment allows it. */
  readonly disableDirect?: boolean | undefined;
  /** Home relay by id, code or name, instead of the one with the shortest route. */
  readonly region?: string | undefined;
  readonly logger?: Logger | undefined;
}

export interface TunnelOptions extends TunnelChoices {
  readonly deployment: Deployment;
  /** The deployment's answer to {@link askConnectionInfo}, where it was asked already. */
  readonly connectionInfo?: Promise<unknown> | undefined;
}

export interface Tunnel {
  /** The caller's, which closes it. */
  readonly node: TailnetNode;
  /** The agent that we want to reach, once it is known. */
  destination: string | undefined;
}

/** Asks the deployment how agents are reached, and begins to connect to a relay. Rejects with ClientError or EngineError. */
export async function openTunnel(options: TunnelOptions, signal: AbortSignal): Promise<Tunnel> {
  const { deployment, logger, region } = options;
  const info = connectionInfoOf(await (options.connectionInfo ?? askConnectionInfo(deployment, { signal })));
  requireRegion(info.derpMap, region);
  let tunnel: Tunnel | undefined;
  const node = await TailnetNode.open({
    deployment,
    addresses: [randomClientAddress(nodeRandom)],
    nodeId: randomNodeId(nodeRandom),
    forceWebSocket: info.forceWebSocket,
    maxPeers: 4,
    directBlocked: directBlockOf(options.disableDirect === true, info),
    region,
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

function requireRegion(map: DerpMap, region: string | undefined): void {
  if (region === undefined || findRegion(map, region) !== undefined) return;
  throw new ClientError(
    "ERR_UNKNOWN_RELAY",
    `The deployment has no relay "${region}"; it has: ${describeRegions(map)}`,
  );
}
