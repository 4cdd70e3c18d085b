/** Turns the engine's measurements of a peer into a {@link PeerPathReport}: names, texts, reasons. */
import type { NodeInfo } from "coder-protocol/tailnet/node";
import { type Instant, instant } from "wg-userspace/base/instant";
import { type AddrPort, formatAddrPort } from "wg-userspace/base/ip";
import type { DerpMap } from "wg-userspace/derp/map";
import type { PeerStatus } from "wg-userspace/engine";
import type { Candidate } from "wg-userspace/magicsock/candidate";
import type { Path } from "wg-userspace/magicsock/path";
import type { FailureSummary } from "wg-userspace/magicsock/path-failures";
import type { PathFinder } from "wg-userspace/magicsock/path-finder";
import type {
  CandidateReport,
  CandidateSource,
  CandidateState,
  DirectBlock,
  PathFailureReport,
  PathRef,
  PeerPathReport,
  RegionRef,
  RelayChoice,
} from "./path-report.ts";

/** A candidate that answered this recently still counts as reachable. */
const USABLE_MS = 70_000;
/** Bits per second in one byte per millisecond. */
const BITS_PER_SECOND = 8_000;
const RELAY_CHOICES: Readonly<Record<RelayChoice["reason"], string>> = {
  loss: "It answers but loses packets; the relay does not.",
  latency: "It answers, but the relay is much faster.",
  rate: "It answers, but the relay carried more in the same time.",
};

export function regionRef(id: number, map: DerpMap | undefined): RegionRef {
  return { id, name: map?.regions.get(id)?.regionName ?? "unknown" };
}

export function pathRef(path: Path | undefined, map: DerpMap | undefined): PathRef | undefined {
  if (path === undefined) return undefined;
  return path.kind === "udp"
    ? { kind: "direct", endpoint: formatAddrPort(path.address) }
    : { kind: "relayed", region: regionRef(path.regionId, map) };
}

export function endpointTexts(endpoints: readonly AddrPort[]): string[] {
  return endpoints.map(formatAddrPort);
}

export interface PeerPathSources {
  readonly id: string;
  /** The peer's node, as the coordinator sent it. */
  readonly node: NodeInfo | undefined;
  /** The engine's status of the peer; undefined while it is not in the tunnel. */
  readonly status: PeerStatus | undefined;
  readonly map: DerpMap | undefined;
  readonly homeRegion: number;
  readonly endpoints: readonly AddrPort[];
  readonly sentNode: boolean;
  readonly timeToDirectMs: number | undefined;
  readonly directBlocked: DirectBlock;
  /** MTU assumed for a path that was not measured. */
  readonly mtu: number;
}

export function peerPathReport(sources: PeerPathSources, now: Instant): PeerPathReport {
  const { node, status, map, homeRegion } = sources;
  const finder = status?.endpoint.finder;
  const age = (at: Instant | undefined): number | undefined => (at === undefined ? undefined : now - at);
  return {
    peerId: sources.id,
    path: pathRef(status?.path, map),
    candidates: candidateReports(finder, now),
    peerRegion: node === undefined || node.preferredDerp === 0 ? undefined : regionRef(node.preferredDerp, map),
    relayRttMs: status?.endpoint.relayRttMs,
    relayChoice: relayChoice(finder),
    peerEndpoints: node?.endpoints ?? [],
    ownRegion: homeRegion === 0 ? undefined : regionRef(homeRegion, map),
    ownEndpoints: endpointTexts(sources.endpoints),
    sentNode: sources.sentNode,
    receivedNode: node !== undefined,
    lastHandshakeAgeMs: age(status?.lastHandshakeAt),
    lastHeardAgeMs: age(status?.lastReceivedAt),
    timeToDirectMs: sources.timeToDirectMs,
    directBlocked: sources.directBlocked,
    mtu: finder?.mtu ?? sources.mtu,
    rxBytes: status?.rxBytes ?? 0,
    txBytes: status?.txBytes ?? 0,
  };
}

export function candidateReports(finder: PathFinder | undefined, now: number): CandidateReport[] {
  if (finder === undefined) return [];
  return finder.candidates.map((candidate) => {
    const { state, reason } = verdict(finder, candidate, now);
    const failures = finder.failuresOf(candidate, instant(now));
    return {
      endpoint: formatAddrPort(candidate.path.address),
      sources: sourcesOf(candidate),
      state,
      pingsSent: candidate.pingsSent,
      pongsReceived: candidate.pongsReceived,
      rttMs: candidate.rttMs,
      loss: candidate.loss,
      smallPongsReceived: candidate.smallPongsReceived || undefined,
      heard: candidate.heardAt === undefined ? undefined : true,
      failures: failures && failureReport(failures, now),
      mtu: candidate.carries || undefined,
      reason,
    };
  });
}

export function failureReport({ count, lifeMs, heldUntil, loss }: FailureSummary, now: number): PathFailureReport {
  return { count, lifeMs, heldForMs: Math.max(0, heldUntil - now), loss };
}

/** Undefined while traffic takes the direct path, or no direct path answers. */
export function relayChoice(finder: PathFinder | undefined): RelayChoice | undefined {
  const verdict = finder?.trusted === undefined ? undefined : finder.quality.verdict;
  if (verdict === undefined) return undefined;
  const { reason, directRttMs, relayRttMs, directLoss, resent, directRate, relayRate } = verdict;
  return {
    reason,
    directRttMs,
    relayRttMs,
    directLoss,
    resent,
    directBitsPerSecond: directRate && directRate * BITS_PER_SECOND,
    relayBitsPerSecond: relayRate && relayRate * BITS_PER_SECOND,
  };
}

function sourcesOf(candidate: Candidate): CandidateSource[] {
  const sources: CandidateSource[] = [];
  if (candidate.fromCoordinator) sources.push("coordinator");
  if (candidate.fromCallMeMaybe) sources.push("call-me-maybe");
  if (candidate.heardAt !== undefined) sources.push("heard");
  return sources;
}

function choiceReason({ quality }: PathFinder): string {
  return quality.verdict === undefined
    ? "It answers; the relay is being tried, since much had to be sent again."
    : RELAY_CHOICES[quality.verdict.reason];
}

/** A duration such as "4 s"; whole seconds from ten on. */
function lifeText(ms: number): string {
  return ms < 9_950 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`;
}

function verdict(
  finder: PathFinder,
  candidate: Candidate,
  now: number,
): { readonly state: CandidateState; readonly reason: string } {
  const { best } = finder;
  if (candidate === best) {
    return finder.trusted === undefined
      ? { state: "lost", reason: "It stopped answering; traffic goes through the relay as well." }
      : finder.carrying !== undefined
        ? { state: "in-use", reason: "Best of the addresses that answer." }
        : { state: "worse-than-relay", reason: choiceReason(finder) };
  }
  const failures = finder.failuresOf(candidate, instant(now));
  if (failures !== undefined && failures.heldUntil > now) {
    const wait = Math.ceil((failures.heldUntil - now) / 1000);
    return {
      state: "held-off",
      reason: `It went silent ${failures.count} times in use, after about ${lifeText(failures.lifeMs)} each; tried again in ${wait} s.`,
    };
  }
  if (candidate.lastPongAt !== undefined) {
    const age = now - candidate.lastPongAt;
    if (age > USABLE_MS) return { state: "lost", reason: `Last answer ${Math.round(age / 1000)} s ago.` };
    return { state: "usable", reason: "It answers, but the address in use is faster or more stable." };
  }
  if (candidate.pingsSent === 0) return { state: "untried", reason: "Not probed yet." };
  const heard = candidate.heardAt === undefined ? "" : " although a probe of the peer came from there";
  return {
    state: "no-answer",
    reason: `${candidate.pingsSent} ${candidate.pingsSent === 1 ? "probe" : "probes"} sent, no answer came back${heard}.`,
  };
}
