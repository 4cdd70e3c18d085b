/** Why none of the workspace's addresses answers: the most specific cause that the evidence supports, or "no-answer". Pure. */

import { formatIp, isIpv4, parseAddrPort } from "wg-userspace/base/ip";
import { addressClass } from "wg-userspace/magicsock/address-class";
import type { NetReport } from "wg-userspace/netcheck/report";
import type { CandidateReport } from "../node/path-report.ts";
import type { Cause, Facts } from "./facts.ts";

/** This many unanswered probes to one address are not chance. */
const MIN_PROBES = 3;

export function unansweredCauses(facts: Facts): Cause[] {
  const { report } = facts;
  if (report.directBlocked !== undefined) return [];
  const short = pingTooShort(facts);
  const probed = report.candidates.filter(({ pingsSent }) => pingsSent > 0);
  if (probed.some(({ pongsReceived }) => pongsReceived > 0)) return short;
  const family = noCommonFamily(facts);
  if (family !== undefined) return [...short, family];
  if (probed.length === 0) return short;
  if (short.length > 0 && probed.every(({ pingsSent }) => pingsSent < MIN_PROBES)) return short;
  return [...short, blackHole(probed) ?? oneWay(facts, probed) ?? sameNat(facts, probed) ?? noAnswer(probed)];
}

/** The user's ping limit is shorter than the round trip. */
function pingTooShort({ report, pingTimeoutMs }: Facts): Cause[] {
  const known = [report.relayRttMs, ...report.candidates.map(({ rttMs }) => rttMs)].filter((rtt) => rtt !== undefined);
  const fastest = Math.min(...known);
  if (pingTimeoutMs === undefined || known.length === 0 || fastest <= pingTimeoutMs) return [];
  return [
    {
      ...blocks("ping-too-short", "this machine"),
      severity: "slows",
      what: "The limit of a ping is shorter than the round trip, so each ping counts as lost.",
      evidence: [`--timeout ${Math.round(pingTimeoutMs)} ms, the fastest answer took ${Math.round(fastest)} ms`],
      fix: `give pings more time: --timeout ${Math.ceil((2 * fastest) / 1000)}s`,
    },
  ];
}

function noCommonFamily(facts: Facts): Cause | undefined {
  const { report, nat64Prefix } = facts;
  const ours = families(facts.own, report.ownEndpoints);
  const theirs = families(facts.agent, report.peerEndpoints);
  if (ours.size === 0 || theirs.size === 0 || [...ours].some((one) => theirs.has(one))) return undefined;
  const [own] = ours;
  const [other] = theirs;
  const evidence = [`this machine: ${report.ownEndpoints.join(", ")}`, `workspace: ${report.peerEndpoints.join(", ")}`];
  if (own === "IPv6" && nat64Prefix !== undefined)
    return {
      ...blocks("nat64", "this machine"),
      what: "This machine has IPv6 only, behind NAT64, and the workspace has IPv4 only: each knows addresses that the other cannot use.",
      evidence: [...evidence, `this network translates ${nat64Prefix} to IPv4`],
      fix: "give the workspace an IPv6 address, or this machine IPv4 (464XLAT, a network with both)",
    };
  return {
    ...blocks("no-common-family", "network between"),
    what: `This machine has ${own} only and the workspace ${other} only, so neither can use an address of the other.`,
    evidence,
    fix: `give the workspace an ${own} address or this machine an ${other} one`,
  };
}

/** The families over which STUN servers answered; if none did, those of the published addresses. */
function families(net: NetReport | undefined, endpoints: readonly string[]): Set<"IPv4" | "IPv6"> {
  const found = new Set<"IPv4" | "IPv6">();
  if (net?.ipv4) found.add("IPv4");
  if (net?.ipv6) found.add("IPv6");
  if (found.size > 0) return found;
  for (const text of endpoints) {
    const address = parseAddrPort(text)?.address;
    if (address !== undefined && addressClass(address) !== "loopback") found.add(isIpv4(address) ? "IPv4" : "IPv6");
  }
  return found;
}

/** Small packets are answered, full-size ones are not. */
function blackHole(probed: readonly CandidateReport[]): Cause | undefined {
  const open = probed.filter((one) => (one.smallPongsReceived ?? 0) > 0 && one.pingsSent >= MIN_PROBES);
  if (open.length === 0) return undefined;
  return {
    ...blocks("mtu-black-hole", "network between"),
    what: "Small packets reach the workspace and full-size ones are silently dropped on the way (MTU black hole).",
    evidence: open.map(
      ({ endpoint, smallPongsReceived, pingsSent }) =>
        `${endpoint}: ${smallPongsReceived} small probes answered, none of ${pingsSent} probes of 1310 bytes`,
    ),
    fix: 'raise the MTU on the way to 1378 bytes at least (VPN, tunnel, PPPoE), or let ICMP "packet too big" messages pass',
  };
}

/**
 * Probes from one end arrive, so its answers would arrive too: those of the other end do not get through. Does not apply if both
 * are heard.
 */
function oneWay({ agentView }: Facts, probed: readonly CandidateReport[]): Cause | undefined {
  const there = (agentView?.candidates ?? []).filter((one) => one.heard === true);
  const heard = probed.filter((one) => one.heard === true && one.pingsSent >= MIN_PROBES);
  if (heard.length > 0 === there.length > 0) return undefined;
  if (heard.length === 0) return onlyThere(there, probed);
  return {
    ...blocks("one-way", "network between"),
    what: "Packets pass in one direction only: the workspace's probes arrive here, ours do not get there.",
    evidence: heard.map(
      ({ endpoint, pingsSent }) => `${endpoint}: its probes arrive, none of our ${pingsSent} is answered`,
    ),
    fix: "let UDP out of this network, and into the workspace's, to the address above",
  };
}

/** Our probes arrive at the workspace, but neither its answers nor its own probes arrive here. */
function onlyThere(
  there: readonly { readonly endpoint: string }[],
  probed: readonly CandidateReport[],
): Cause | undefined {
  const tried = probed.filter(({ pingsSent, heard }) => pingsSent >= MIN_PROBES && heard !== true);
  if (tried.length === 0) return undefined;
  return {
    ...blocks("one-way", "network between"),
    what: "Packets pass in one direction only: our probes arrive at the workspace, its answers and its own probes do not get here.",
    evidence: [
      ...there.map(({ endpoint }) => `the workspace hears our probes, from ${endpoint}`),
      ...tried.map(probeLine),
    ],
    fix: "let UDP out of the workspace's network, and into this one, to the address above",
  };
}

function sameNat({ own, agent, report }: Facts, probed: readonly CandidateReport[]): Cause | undefined {
  const ours = own?.globalV4 === undefined ? undefined : formatIp(own.globalV4.address);
  const theirs = new Set(
    [...report.peerEndpoints.map(parseAddrPort), agent?.globalV4].flatMap((one) =>
      one === undefined ? [] : [formatIp(one.address)],
    ),
  );
  if (ours === undefined || !theirs.has(ours) || own?.hairPinning === true) return undefined;
  return {
    ...blocks("no-hairpin", "network between"),
    what: "Both ends are behind one NAT, and it does not send packets for its own public address back inside (no hairpinning).",
    evidence: [`both are seen as ${ours}`, ...probed.map(probeLine)],
    fix: "switch on hairpinning (NAT loopback) there, route between the two inner networks, or use IPv6; where it is a provider's NAT (CGNAT), only the last is up to you",
  };
}

function noAnswer(probed: readonly CandidateReport[]): Cause {
  return {
    ...blocks("no-answer", "network between"),
    what: "None of the workspace's addresses answered our probes.",
    evidence: probed.map(probeLine),
    fix: "allow UDP between the two networks, in both directions, or behind one of them an inbound UDP port (agent: --tailnet-listen-port)",
  };
}

function probeLine({ endpoint, pingsSent, sources }: CandidateReport): string {
  return `${endpoint} (from ${sources.join(", ") || "nowhere"}): ${pingsSent} ${pingsSent === 1 ? "probe" : "probes"}, no answer`;
}

function blocks(code: string, side: Cause["side"]): Pick<Cause, "code" | "side" | "scope" | "severity" | "link"> {
  return { code, side, scope: "general", severity: "blocks-direct", link: `coder help ${code}` };
}
