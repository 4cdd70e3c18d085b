import { agentNetworkFromJson } from "coder-client/diagnosis/agent-network";
import { findCauses } from "coder-client/diagnosis/causes";
import type { Cause } from "coder-client/diagnosis/facts";
import type { DerpMap } from "wg-userspace/derp/map";

/** The diagnosis that commands make, with the facts that only the agent knows: what is wrong for every client of this agent. */
export function agentCauses(
  netcheck: unknown,
  deployment: { readonly map: DerpMap; readonly blockDirect: boolean },
): Cause[] {
  const { report, interfaces } = agentNetworkFromJson(netcheck);
  const nodes = [...deployment.map.regions.values()].flatMap((region) => region.nodes);
  return findCauses({
    report: {
      peerId: "",
      path: undefined,
      candidates: [],
      peerRegion: undefined,
      peerEndpoints: [],
      ownRegion: undefined,
      ownEndpoints: [],
      sentNode: false,
      receivedNode: false,
      directBlocked: deployment.blockDirect ? "deployment" : undefined,
      mtu: 0,
      rxBytes: 0,
      txBytes: 0,
    },
    own: undefined,
    agent: report,
    agentMissing: "its answer has no report",
    ownInterfaces: [],
    agentInterfaces: interfaces,
    mapHasStun: nodes.some(({ stunPort }) => stunPort >= 0),
  });
}
