/**
 * What a node knows about its path to one peer, in the words that commands print and JSON carries. Addresses are text,
 * times are milliseconds, regions carry their names: nothing here needs the relay map to be understood.
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
  /** Traffic goes here. */
  | "in-use"
  /** Answers, but another one is better. */
  | "usable"
  /** Answers, but traffic takes the relay, which serves better: see {@link PeerPathReport.relayChoice}. */
  | "worse-than-relay"
  /** Went silent in use again and again, and is left alone for a while. */
  | "held-off"
  /** Answered once, not any more. */
  | "lost"
  /** Probed, never answered. */
  | "no-answer"
  /** Not probed yet. */
  | "untried";

export interface PathFailureReport {
  readonly count: number;
  readonly lifeMs: number;
  readonly heldForMs: number;
  /** Share of the probes without an answer while it lived, 0 … 1; absent when there were few. */
  readonly loss?: number | undefined;
}

export interface CandidateReport {
  readonly endpoint: string;
  readonly sources: readonly CandidateSource[];
  readonly state: CandidateState;
  readonly pingsSent: number;
  readonly pongsReceived: number;
  /** Last measured; absent when it never answered. */
  readonly rttMs?: number | undefined;
  /** Share of recent pings without an answer, 0 … 1; absent before the first verdict. */
  readonly loss?: number | undefined;
  /** Small probes answered, of those that are sent when full-size ones are not. */
  readonly smallPongsReceived?: number | undefined;
  /** Probes of the peer arrived from there. */
  readonly heard?: boolean | undefined;
  /** How often it went silent in use, one time after the other, and how long it typically lasted. */
  readonly failures?: PathFailureReport | undefined;
  /** Largest inner packet (bytes) that this path was seen to carry; absent when unknown. */
  readonly mtu?: number | undefined;
  /** One sentence: why it is used, or why not. */
  readonly reason: string;
}

/** Why traffic goes by relay although a direct path answers. */
export interface RelayChoice {
  readonly reason: "loss" | "latency" | "rate";
  readonly directRttMs: number;
  readonly relayRttMs: number;
  /** Shares, 0 … 1: of probes without an answer, and of TCP segments that had to be sent again. */
  readonly directLoss?: number | undefined;
  readonly resent?: number | undefined;
  /** What each delivered under load. */
  readonly directBitsPerSecond?: number | undefined;
  readonly relayBitsPerSecond?: number | undefined;
}

/** A short series of probes on the direct path alone. */
export interface DirectSample {
  readonly sent: number;
  readonly answered: number;
  /** So many of the last ones in a row had no answer. */
  readonly silentAtEnd: number;
}

/** What the peer reports about its paths to us. */
export interface PeerView {
  readonly candidates: readonly Pick<CandidateReport, "endpoint" | "pingsSent" | "pongsReceived" | "heard">[];
  /** Of paths to our addresses, other connections of the same machine or network included: the one that failed most often. */
  readonly failures?: PathFailureReport | undefined;
}

/** What forbids direct connections, if anything does. */
export type DirectBlock = "this-client" | "deployment" | undefined;

export interface PeerPathReport {
  /** Id on the control plane: for a workspace, its agent's id. */
  readonly peerId: string;
  /** Undefined: there is no path to the peer at present. */
  readonly path: PathRef | undefined;
  readonly candidates: readonly CandidateReport[];
  /** The peer's home relay; undefined when it has none or was not announced. */
  readonly peerRegion: RegionRef | undefined;
  /** Round trip through the peer's relay, when it was measured. */
  readonly relayRttMs?: number | undefined;
  /** Present while traffic goes by relay although a direct path answers. */
  readonly relayChoice?: RelayChoice | undefined;
  /** Endpoints the coordinator named for the peer. */
  readonly peerEndpoints: readonly string[];
  /** Our home relay; undefined when we have none. */
  readonly ownRegion: RegionRef | undefined;
  /** Endpoints we publish. */
  readonly ownEndpoints: readonly string[];
  /** Whether the coordinator took our node, and whether it sent us the peer's. */
  readonly sentNode: boolean;
  readonly receivedNode: boolean;
  readonly lastHandshakeAgeMs?: number | undefined;
  /** Since the peer's last authenticated packet; absent before the first. */
  readonly lastHeardAgeMs?: number | undefined;
  /** From the start of the connection to the first direct path; absent while there was none. */
  readonly timeToDirectMs?: number | undefined;
  readonly directBlocked: DirectBlock;
  /** Inner MTU in use towards the peer, bytes. */
  readonly mtu: number;
  readonly rxBytes: number;
  readonly txBytes: number;
}
