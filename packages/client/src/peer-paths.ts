/** Turns what the engine measured about a peer into a {@link PeerPathReport}: names, texts, reasons. */
import { type AddrPort, formatAddrPort } from "wg-userspace/base/ip";
import type { DerpMap } from "wg-userspace/derp/map";
import type { Candidate } from "wg-userspace/magicsock/candidate";
import type { Path } from "wg-userspace/magicsock/path";
import type { PathFinder } from "wg-userspace/magicsock/path-finder";
import type { CandidateReport, CandidateSource, CandidateState, PathRef, RegionRef } from "./path-report.ts";

/** A candidate that answered this recently still counts as reachable. */
const USABLE_MS = 70_000;

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

export function candidateReports(finder: PathFinder | undefined, now: number): CandidateReport[] {
  if (finder === undefined) return [];
  return finder.candidates.map((candidate) => {
    const { state, reason } = verdict(finder, candidate, now);
    return {
      endpoint: formatAddrPort(candidate.path.address),
      sources: sourcesOf(candidate),
      state,
      pingsSent: candidate.pingsSent,
      pongsReceived: candidate.pongsReceived,
      ...(candidate.rttMs === undefined ? {} : { rttMs: candidate.rttMs }),
      ...(candidate.loss === undefined ? {} : { loss: candidate.loss }),
      ...(candidate.carries === 0 ? {} : { mtu: candidate.carries }),
      reason,
    };
  });
}

function sourcesOf(candidate: Candidate): CandidateSource[] {
  const sources: CandidateSource[] = [];
  if (candidate.fromCoordinator) sources.push("coordinator");
  if (candidate.fromCallMeMaybe) sources.push("call-me-maybe");
  if (candidate.heardAt !== undefined) sources.push("heard");
  return sources;
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
      : { state: "in-use", reason: "Best of the addresses that answer." };
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
