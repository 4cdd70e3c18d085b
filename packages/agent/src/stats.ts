/** Traffic and sessions as the control plane wants them reported: sessions as they are now, traffic since the last report. */
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
}

export interface StatsSources {
  /** Open connections inside the tunnel. */
  readonly connections: () => number;
  /** Bytes of all peers since the start. */
  readonly traffic: () => { readonly rxBytes: number; readonly txBytes: number };
  readonly sessions: () => { readonly ssh: number; readonly vscode: number; readonly jetbrains: number };
}

/** Nobody could be pinged. */
const NO_LATENCY = -0.001;

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
    // A peer that left takes its count along: never report less than nothing.
    const rxBytes = BigInt(Math.max(0, traffic.rxBytes - since.rxBytes));
    const txBytes = BigInt(Math.max(0, traffic.txBytes - since.txBytes));
    const sessions = this.#sources.sessions();
    const connections = BigInt(this.#sources.connections());
    return {
      connectionsByProto: { TCP: connections },
      connectionCount: connections,
      connectionMedianLatencyMs: NO_LATENCY,
      rxPackets: 0n,
      rxBytes,
      txPackets: 0n,
      txBytes,
      sessionCountVscode: BigInt(sessions.vscode),
      sessionCountJetbrains: BigInt(sessions.jetbrains),
      sessionCountReconnectingPty: 0n,
      sessionCountSsh: BigInt(sessions.ssh),
    };
  }
}
