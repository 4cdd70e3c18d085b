/** Traffic and sessions in the form that the control plane expects: present sessions, and traffic since the last report. */
export interface StatsReport {
  readonly connectionsByProto: { [name: string]: bigint };
  readonly connectionCount: bigint;
  readonly connectionMedianLatencyMs: number;
  readonly rxPackets: bigint;
  readonly rxBytes: bigint;
  readonly txPackets: bigint;
  readonly txBytes: bigint;
  readonly sessionCountVscode: bigint;
  readonly sessionCountJetbrains: bigint;
  readonly sessionCountReconnectingPty: bigint;
  readonly sessionCountSsh: bigint;
  /** The same session counts by name, for servers that know the field. */
  readonly sessionCounts: { [name: string]: bigint };
  readonly metrics: StatsMetric[];
}

/** As in the protobuf Stats message. */
export interface StatsMetric {
  readonly name: string;
  /** 2: gauge. */
  readonly type: 2;
  readonly value: number;
  readonly labels: { readonly name: string; readonly value: string }[];
}

/** One client heard from recently. */
export interface PeerOnPath {
  readonly path: "direct" | "relayed";
  /** Round trip, ms; absent when it was not measured. */
  readonly rttMs?: number | undefined;
}

export interface StatsSources {
  /** Open connections relayed to programs in the workspace. */
  readonly connections: () => { readonly tcp: number; readonly udp: number };
  /** Bytes of all peers since the start. */
  readonly traffic: () => { readonly rxBytes: number; readonly txBytes: number };
  /** Clients that are reachable now. */
  readonly peers: () => readonly PeerOnPath[];
  readonly sessions: () => {
    readonly ssh: number;
    readonly vscode: number;
    readonly jetbrains: number;
    readonly terminals?: number;
  };
}

/** Reported when no peer could be pinged. */
const NO_LATENCY = -0.001;
/** The metric with which stock agents count their peers by path; control planes look for it. */
const PEERS_METRIC = "coderd_agentstats_currently_reachable_peers";

export class StatsCollector {
  readonly #sources: StatsSources;
  #reported = { rxBytes: 0, txBytes: 0 };

  constructor(sources: StatsSources) {
    this.#sources = sources;
  }

  take(): StatsReport {
    const traffic = this.#sources.traffic();
    const since = this.#reported;
    this.#reported = traffic;
    // A peer that leaves takes its count with it; the difference must not become negative.
    const rxBytes = BigInt(Math.max(0, traffic.rxBytes - since.rxBytes));
    const txBytes = BigInt(Math.max(0, traffic.txBytes - since.txBytes));
    const sessions = this.#sources.sessions();
    const { tcp, udp } = this.#sources.connections();
    const peers = this.#sources.peers();
    return {
      connectionsByProto: { TCP: BigInt(tcp), UDP: BigInt(udp) },
      connectionCount: BigInt(tcp + udp),
      connectionMedianLatencyMs: median(peers.flatMap((peer) => peer.rttMs ?? [])) ?? NO_LATENCY,
      rxPackets: 0n,
      rxBytes,
      txPackets: 0n,
      txBytes,
      sessionCountVscode: BigInt(sessions.vscode),
      sessionCountJetbrains: BigInt(sessions.jetbrains),
      sessionCountReconnectingPty: BigInt(sessions.terminals ?? 0),
      sessionCountSsh: BigInt(sessions.ssh),
      sessionCounts: {
        vscode: BigInt(sessions.vscode),
        jetbrains: BigInt(sessions.jetbrains),
        reconnecting_pty: BigInt(sessions.terminals ?? 0),
        ssh: BigInt(sessions.ssh),
      },
      metrics: [
        peersMetric("p2p", peers.filter((peer) => peer.path === "direct").length),
        peersMetric("derp", peers.filter((peer) => peer.path === "relayed").length),
      ],
    };
  }
}

function peersMetric(connectionType: "p2p" | "derp", value: number): StatsMetric {
  return { name: PEERS_METRIC, type: 2, value, labels: [{ name: "connection_type", value: connectionType }] };
}

function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}
