/**
 * The agent's view of the paths to a client. Seen from one end, a path that carries packets in only one direction looks like one
 * that carries none, and a short connection ends before its path times out.
 */

import type { PathFailureReport } from "coder-client/node/path-report";
import { candidateReports, failureReport } from "coder-client/node/peer-paths";
import type { TailnetNode } from "coder-client/node/tailnet-node";
import type { Instant } from "wg-userspace/base/instant";
import { formatIp, parseIp } from "wg-userspace/base/ip";
import type { PeerStatus } from "wg-userspace/engine";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { FailureSummary } from "wg-userspace/magicsock/path-failures";

/** In the form of the HTTP API; null when no peer has this address inside the tunnel. */
export function peerView(node: TailnetNode, tunnelAddress: string): unknown {
  const { engine } = node.driver;
  const address = parseIp(tunnelAddress);
  const peer = address === undefined ? undefined : engine.peerWithAddress(address);
  if (peer === undefined) return null;
  const now = monotonicNow();
  const failures = worstFailures(peer, engine.peers(), now);
  return {
    candidates: candidateReports(peer.endpoint.finder, now).map(({ endpoint, pingsSent, pongsReceived, heard }) => ({
      endpoint,
      pings_sent: pingsSent,
      pongs_received: pongsReceived,
      heard: heard ?? false,
    })),
    failures: failures === undefined ? null : failuresJson(failureReport(failures, now)),
  };
}

function failuresJson({ count, lifeMs, heldForMs, loss }: PathFailureReport): unknown {
  return { count, life_ms: lifeMs, held_for_ms: heldForMs, loss: loss ?? null };
}

/** Considers all paths to the addresses of `peer`, because peers that share an address share the firewall in front of it. */
function worstFailures(peer: PeerStatus, all: readonly PeerStatus[], now: Instant): FailureSummary | undefined {
  const addresses = new Set(peer.endpoint.finder?.candidates.map(({ path }) => formatIp(path.address.address)));
  let worst: FailureSummary | undefined;
  for (const { endpoint } of all) {
    for (const candidate of endpoint.finder?.candidates ?? []) {
      if (!addresses.has(formatIp(candidate.path.address.address))) continue;
      const failures = endpoint.finder!.failuresOf(candidate, now);
      if (failures !== undefined && failures.count > (worst?.count ?? 0)) worst = failures;
    }
  }
  return worst;
}
