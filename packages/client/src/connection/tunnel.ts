/** Our end of a tunnel to one agent: begun before it is known which agent, so that relay and STUN overlap with finding it. */
import { randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import type { Logger } from "wg-userspace/base/ports";
import type { DerpMap } from "wg-userspace/derp/map";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { ClientError } from "../base/client-error.ts";
import { describeRegions, findRegion } from "../node/relay-choice.ts";
import { TailnetNode } from "../node/tailnet-node.ts";
import { connectionInfoOf } from "../rest/connection-info.ts";
import type { Deployment } from "../rest/deployment.ts";
import { askConnectionInfo } from "../rest/workspaces.ts";

/** How we are reached, and reach others. */
export interface TunnelChoices {
  /** Never connect directly, although the deployment allows it. */
  readonly disableDirect?: boolean;
  /** Home relay by id, code or name, instead of the one with the shortest route. */
  readonly region?: string;
  readonly logger?: Logger;
}

export interface TunnelOptions extends TunnelChoices {
  readonly deployment: Deployment;
  /** The deployment's answer to {@link askConnectionInfo}, where it was asked already. */
  readonly connectionInfo?: Promise<unknown>;
}

export interface Tunnel {
  /** The caller's, who closes it. */
  readonly node: TailnetNode;
  /** The agent that we want to reach, once it is known. */
  destination: string | undefined;
}

/** Asks the deployment how agents are reached, and begins to connect to a relay. Rejects with ClientError or EngineError. */
export async function openTunnel(options: TunnelOptions, signal: AbortSignal): Promise<Tunnel> {
  const { deployment, logger } = options;
  const info = connectionInfoOf(await (options.connectionInfo ?? askConnectionInfo(deployment, { signal })));
  let tunnel: Tunnel | undefined;
  const node = await TailnetNode.open({
    deployment,
    addresses: [randomClientAddress(nodeRandom)],
    nodeId: randomNodeId(nodeRandom),
    forceWebSocket: info.forceWebSocket,
    maxPeers: 4,
    ...blockOf(options.disableDirect ?? false, info.disableDirectConnections),
    ...regionOf(options.region, info.derpMap),
    isDestination: (id) => id === tunnel?.destination,
    ...(logger === undefined ? {} : { logger }),
  });
  node.setDerpMap(info.derpMap);
  tunnel = { node, destination: undefined };
  return tunnel;
}

function blockOf(byThisClient: boolean, byDeployment: boolean) {
  if (byThisClient) return { directBlocked: "this-client" } as const;
  return byDeployment ? ({ directBlocked: "deployment" } as const) : {};
}

function regionOf(region: string | undefined, map: DerpMap) {
  if (region === undefined) return {};
  if (findRegion(map, region) === undefined)
    throw new ClientError(
      "ERR_UNKNOWN_RELAY",
      `The deployment has no relay "${region}"; it has: ${describeRegions(map)}`,
    );
  return { region };
}
