/**
 * Why a connection is relayed or slow: causes with their evidence, what to change, and who must change it, the most important
 * first. Pure.
 */

import { SAFE_INTERFACE_MTU } from "coder-protocol/interface-mtu";
import { formatAddrPort } from "wg-userspace/base/ip";
import type { NetReport } from "wg-userspace/netcheck/report";
import { type Cause, type Facts, FOUND, type InterfaceFact, type Side } from "./facts.ts";
import { directPathCauses, relayCauses } from "./path-causes.ts";
import { unansweredCauses } from "./unanswered-causes.ts";

/** Most pieces of evidence shown for one cause. */
const MAX_EVIDENCE = 4;
const SEVERITIES: readonly Cause["severity"][] = ["blocks-direct", "slows", "note"];

/** Ranked: causes that block first, then those that slow; equal ones in the order below. */
export function findCauses(facts: Facts): Cause[] {
  // If a direct path was found, it is relayed by choice or for a while, and causes that prevent a path do not apply.
  const found =
    facts.report.path?.kind === "direct" ||
    facts.report.candidates.some(({ state, failures }) => FOUND.includes(state) || failures !== undefined);
  const unanswered = found ? [] : unansweredCauses(facts);
  // A known obstacle also explains the silence of a hard NAT, but not the reverse.
  const settled = unanswered.some(({ code }) => code !== "no-answer");
  const causes = [
    ...(found ? [] : blocked(facts)),
    ...(found || settled ? [] : natCauses(facts)),
    ...lowMtu(facts),
    ...unanswered,
    ...directPathCauses(facts),
    ...relayCauses(facts),
    ...missingReport(facts),
  ];
  return causes
    .map((cause, index) => ({ cause, index }))
    .sort((a, b) => rank(a.cause) - rank(b.cause) || a.index - b.index)
    .map(({ cause }) => cause);
}

function rank({ severity }: Cause): number {
  return SEVERITIES.indexOf(severity);
}

function blocked({ report, mapHasStun }: Facts): Cause[] {
  const causes: Cause[] = [];
  if (report.directBlocked === "this-client") {
    causes.push({
      code: "direct-disabled",
      side: "this machine",
      scope: "general",
      severity: "blocks-direct",
      what: "Direct connections are disabled for this command.",
      evidence: ["--disable-direct-connections or CODER_DISABLE_DIRECT_CONNECTIONS is set"],
      fix: "leave the flag and the variable out",
      link: "coder help direct-disabled",
    });
  }
  if (report.directBlocked === "deployment") {
    causes.push({
      code: "direct-blocked",
      side: "administrator",
      scope: "general",
      severity: "blocks-direct",
      what: "The deployment forbids direct connections.",
      evidence: ["the server runs with --block-direct-connections (CODER_BLOCK_DIRECT)"],
      fix: "ask an administrator whether they may be allowed",
      link: "coder help direct-blocked",
    });
  }
  if (report.directBlocked === undefined && !mapHasStun) {
    causes.push({
      code: "no-stun",
      side: "administrator",
      scope: "general",
      severity: "blocks-direct",
      what: "The deployment names no STUN server, so no node behind a NAT learns its public address.",
      evidence: ["the relay map has no node with a STUN port"],
      fix: "let the server answer STUN (--stun-address) or name servers (--derp-server-stun-addresses)",
      link: "coder help no-stun",
    });
  }
  return causes;
}

function natCauses({ report, own, agent, mapHasStun }: Facts): Cause[] {
  if (report.directBlocked !== undefined) return [];
  const causes: Cause[] = [];
  const sides = [["client", "this machine", own] as const, ["agent", "workspace", agent] as const];
  for (const [scope, side, net] of sides) {
    if (net === undefined) continue;
    const sentNoProbe = !net.ipv4CanSend && !net.ipv6CanSend && net.unresolvedNames.length > 0;
    if (mapHasStun && !net.udp && sentNoProbe) {
      causes.push({
        code: "names-not-resolved",
        side,
        scope,
        severity: "blocks-direct",
        what: `The names of the STUN servers are not resolved on ${scope === "client" ? "this machine" : "the workspace's machine"}, so its public address is not known.`,
        evidence: [`no address for ${net.unresolvedNames.slice(0, MAX_EVIDENCE).join(", ")}`],
        fix: "check DNS there: whether its name servers answer, and how quickly",
        link: "coder help names-not-resolved",
      });
    } else if (mapHasStun && !net.udp) {
      causes.push({
        code: "udp-blocked",
        side,
        scope,
        severity: "blocks-direct",
        what: `No STUN server answers ${scope === "client" ? "this machine" : "the workspace"} over UDP.`,
        evidence: [
          net.ipv4CanSend || net.ipv6CanSend ? "requests were sent, no answer came" : "no request could be sent",
        ],
        fix: "let UDP out in the firewall there: to port 3478 and to any port, with answers coming back",
        link: "coder help udp-blocked",
      });
    }
    if (net.mappingVariesByDestIp === true) {
      const other = scope === "client" ? agent : own;
      const both = other?.mappingVariesByDestIp === true;
      causes.push({
        code: "hard-nat",
        side,
        scope,
        severity: "blocks-direct",
        what: `The NAT in front of ${scope === "client" ? "this machine" : "the workspace"} uses another port for every destination (hard NAT).`,
        evidence: mappings(net),
        fix: both
          ? "one of the two NATs must change: use endpoint-independent mapping, allow port mapping (UPnP, NAT-PMP, PCP), or forward a UDP port"
          : "use endpoint-independent mapping there, allow port mapping (UPnP, NAT-PMP, PCP), or forward a UDP port",
        link: "coder help hard-nat",
      });
    }
  }
  if (report.receivedNode && report.peerEndpoints.length === 0) {
    causes.push({
      code: "peer-without-endpoints",
      side: "workspace",
      scope: "agent",
      severity: "blocks-direct",
      what: "The workspace names no address of its own.",
      evidence: ["its node message has an empty list of endpoints"],
      fix: "check that the agent may use UDP and that it was not started without direct connections",
      link: "coder help peer-without-endpoints",
    });
  }
  return causes;
}

/** What each STUN server saw, while the servers are known; otherwise the verdict alone. */
function mappings(net: NetReport): string[] {
  const seen = net.observations.filter(({ mapped }) => mapped.address.length === 4);
  if (seen.length === 0) return ["its STUN servers saw different public ports"];
  return seen.map(
    ({ node, server, mapped }) => `STUN server ${node} (${formatAddrPort(server)}) saw ${formatAddrPort(mapped)}`,
  );
}

function lowMtu({ ownInterfaces, agentInterfaces }: Facts): Cause[] {
  const found = (interfaces: readonly InterfaceFact[] | undefined, scope: "client" | "agent", side: Side): Cause[] => {
    const low = (interfaces ?? []).filter(({ mtu }) => mtu > 0 && mtu < SAFE_INTERFACE_MTU);
    if (low.length === 0) return [];
    return [
      {
        code: "low-mtu",
        side,
        scope,
        severity: "slows",
        what: `A network interface of ${scope === "client" ? "this machine" : "the workspace"} takes packets of less than ${SAFE_INTERFACE_MTU} bytes.`,
        evidence: low.map(({ name, mtu }) => `${name}: MTU ${mtu}`),
        fix: "raise its MTU, or route around that VPN; until then traffic is relayed where the path is too narrow",
        link: "coder help low-mtu",
      },
    ];
  };
  return [...found(ownInterfaces, "client", "this machine"), ...found(agentInterfaces, "agent", "workspace")];
}

function missingReport({ agent, agentMissing }: Facts): Cause[] {
  if (agent !== undefined || agentMissing === undefined) return [];
  return [
    {
      code: "agent-report-missing",
      side: "workspace",
      scope: "agent",
      severity: "note",
      what: "The agent gave no report of its network, so its side is not judged.",
      evidence: [agentMissing],
      fix: "update the agent if it is an old one",
      link: "coder help agent-report-missing",
    },
  ];
}
