/**
 * What a node knows about its path to one peer, in the terms that commands print and JSON carries. Addresses are text, times are
 * milliseconds, and regions have their names, so no relay map is needed to understand it.
 */

export interface RegionRef {
  readonly id: number;
  /** From the relay map; "unknown" when the map does not have it. */
  readonly name: string;
}

export type PathRef =
  | { readonly kind: "direct"; readonly endpoint: string }
  | { readonly kind: "relayed"; readonly region: RegionRef };

/** The first answer to a disco ping, and the path that it took. */
export interface DiscoPong {
  readonly rttMs: number;
  readonly path: PathRef;
}

/** Where a candidate address came from. One address may have several sources. */
export type CandidateSource = "coordinator" | "call-me-maybe" | "heard";

export type CandidateState =
  /** Carries the traffic. */
  | "in-use"
  /** Answers, but another path is better. */
  | "usable"
  /** Answers, but the relay serves better and carries the traffic: see {@link PeerPathReport.relayChoice}. */
  | "worse-than-relay"
  /** Fell silent in use again and again, so it is not used for a while. */
  | "held-off"
  /** Answered once, but no longer. */
  | "lost"
  /** Probed, never answered. */
  | "no-answer"
  /** Not probed yet. */
  | "untried";

export interface PathFailureReport {
  readonly count: number;
  readonly lifeMs: number;
  readonly heldForMs: number;
  /** Share of probes without an answer while it was alive, 0 … 1; absent when there were few. */
  readonly loss?: number | undefined;
}

export interface CandidateReport {
  readonly endpoint: string;
  readonly sources: readonly CandidateSource[];
  readonly state: CandidateState;
  readonly pingsSent: number;
  readonly pongsReceived: number;
  /** The last measurement; absent when it never answered. */
  readonly rttMs?: number | undefined;
  /** Share of recent pings without an answer, 0 … 1; absent before the first verdict. */
  readonly loss?: number | undefined;
  /** Answers to small probes, which are sent when full-size ones are not answered. */
  readonly smallPongsReceived?: number | undefined;
  /** Whether probes of the peer arrived from there. */
  readonly heard?: boolean | undefined;
  /** How often in a row it fell silent in use, and how long it typically lasted. */
  readonly failures?: PathFailureReport | undefined;
  /** Largest inner packet (bytes) that this path was seen to carry; absent when unknown. */
  readonly mtu?: number | undefined;
  /** One sentence: why it is used, or why not. */
  readonly reason: string;
}

/** Why traffic is relayed although a direct path answers. */
export interface RelayChoice {
  readonly reason: "loss" | "latency" | "rate";
  readonly directRttMs: number;
  readonly relayRttMs: number;
  /** Shares, 0 … 1: probes without an answer, and TCP segments that had to be sent again. */
  readonly directLoss?: number | undefined;
  readonly resent?: number | undefined;
  /** Throughput of each under load. */
  readonly directBitsPerSecond?: number | undefined;
  readonly relayBitsPerSecond?: number | undefined;
}

/** A short series of probes on the direct path only. */
export interface DirectSample {
  readonly sent: number;
  readonly answered: number;
  /** How many probes at the end had no answer. */
  readonly silentAtEnd: number;
}

/** What the peer reports about its paths to us. */
export interface PeerView {
  readonly candidates: readonly Pick<CandidateReport, "endpoint" | "pingsSent" | "pongsReceived" | "heard">[];
  /** The path to our addresses that failed most often, including paths of other connections to this machine or network. */
  readonly failures?: PathFailureReport | undefined;
}

/** What forbids direct connections, if anything does. */
export type DirectBlock = "this-client" | "deployment" | undefined;

export interface PeerPathReport {
  /** The peer's id on the control plane; for a workspace, its agent's id. */
  readonly peerId: string;
  /** Undefined while there is no path to the peer. */
  readonly path: PathRef | undefined;
  readonly candidates: readonly CandidateReport[];
  /** The peer's home relay; undefined when it has none or was not announced. */
  readonly peerRegion: RegionRef | undefined;
  /** Round trip through the peer's relay, if it was measured. */
  readonly relayRttMs?: number | undefined;
  /** Present while traffic is relayed although a direct path answers. */
  readonly relayChoice?: RelayChoice | undefined;
  /** Endpoints that the coordinator sent for the peer. */
  readonly peerEndpoints: readonly string[];
  /** Our home relay; undefined when we have none. */
  readonly ownRegion: RegionRef | undefined;
  /** Endpoints we publish. */
  readonly ownEndpoints: readonly string[];
  /** Whether the coordinator has received our node, and whether it has sent us the peer's. */
  readonly sentNode: boolean;
  readonly receivedNode: boolean;
  readonly lastHandshakeAgeMs?: number | undefined;
  /** Time since the peer's last authenticated packet; absent before the first. */
  readonly lastHeardAgeMs?: number | undefined;
  /** Time from the start of the connection to the first direct path; absent before that. */
  readonly timeToDirectMs?: number | undefined;
  readonly directBlocked: DirectBlock;
  /** Inner MTU in use towards the peer, in bytes. */
  readonly mtu: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}
