/** How agents were reached over the last hour and day: in memory, bounded, and lost when the server ends. */

export interface NetworkSample {
  /** Median latency to the agent's clients; undefined if it was not measured. */
  readonly latencyMs: number | undefined;
  readonly direct: number;
  readonly relayed: number;
}

/** Body of GET …/network/history. Each list has one entry for each step of the range, the oldest first; null is a gap. */
export interface NetworkHistoryBody {
  readonly step_s: number;
  /** Time of the first step. */
  readonly from: string;
  readonly latency_ms: readonly (number | null)[];
  readonly direct: readonly (number | null)[];
  readonly relayed: readonly (number | null)[];
}

export const HISTORY_RANGES = { "1h": { stepMs: 10_000, size: 360 }, "24h": { stepMs: 300_000, size: 288 } } as const;
export type HistoryRange = keyof typeof HISTORY_RANGES;

/** Maximum number of agents, at about 11 kB each. */
const MAX_AGENTS = 5_000;
const MAX_COUNT = 0xffff;

export class NetworkHistory {
  readonly #agents = new Map<string, AgentRings>();
  readonly #maxAgents: number;

  constructor(maxAgents = MAX_AGENTS) {
    this.#maxAgents = maxAgents;
  }

  get size(): number {
    return this.#agents.size;
  }

  record(agentId: string, sample: NetworkSample, nowMs: number): void {
    const rings = this.#agents.get(agentId) ?? { "1h": new Ring("1h"), "24h": new Ring("24h") };
    // The map is in the order of the last record, so the first is removed.
    this.#agents.delete(agentId);
    if (this.#agents.size >= this.#maxAgents) {
      const [oldest] = this.#agents.keys();
      if (oldest !== undefined) this.#agents.delete(oldest);
    }
    this.#agents.set(agentId, rings);
    rings["1h"].record(sample, nowMs);
    rings["24h"].record(sample, nowMs);
  }

  forget(agentId: string): void {
    this.#agents.delete(agentId);
  }

  read(agentId: string, range: HistoryRange, nowMs: number): NetworkHistoryBody {
    return (this.#agents.get(agentId)?.[range] ?? new Ring(range)).read(nowMs);
  }
}

type AgentRings = Readonly<Record<HistoryRange, Ring>>;

/** Samples by step of time, in a ring: a new step overwrites the one that has left the range. */
class Ring {
  readonly #stepMs: number;
  readonly #size: number;
  /** The step stored at each position, plus one; 0 means empty. */
  readonly #steps: Uint32Array;
  readonly #latency: Float32Array;
  readonly #measured: Uint16Array;
  readonly #direct: Uint16Array;
  readonly #relayed: Uint16Array;

  constructor(range: HistoryRange) {
    const { stepMs, size } = HISTORY_RANGES[range];
    this.#stepMs = stepMs;
    this.#size = size;
    this.#steps = new Uint32Array(size);
    this.#latency = new Float32Array(size);
    this.#measured = new Uint16Array(size);
    this.#direct = new Uint16Array(size);
    this.#relayed = new Uint16Array(size);
  }

  /** Several samples in one step are combined: the mean latency and the largest number of clients. */
  record({ latencyMs, direct, relayed }: NetworkSample, nowMs: number): void {
    const step = this.#stepOf(nowMs);
    const place = step % this.#size;
    if (this.#steps[place] !== step + 1) {
      this.#steps[place] = step + 1;
      this.#latency[place] = 0;
      this.#measured[place] = 0;
      this.#direct[place] = 0;
      this.#relayed[place] = 0;
    }
    this.#direct[place] = Math.min(MAX_COUNT, Math.max(this.#direct[place]!, direct));
    this.#relayed[place] = Math.min(MAX_COUNT, Math.max(this.#relayed[place]!, relayed));
    if (latencyMs === undefined) return;
    const measured = this.#measured[place]! + 1;
    this.#latency[place]! += (latencyMs - this.#latency[place]!) / measured;
    this.#measured[place] = Math.min(MAX_COUNT - 1, measured);
  }

  read(nowMs: number): NetworkHistoryBody {
    const last = this.#stepOf(nowMs);
    const first = last - this.#size + 1;
    const latency: (number | null)[] = [];
    const direct: (number | null)[] = [];
    const relayed: (number | null)[] = [];
    for (let step = first; step <= last; step++) {
      const place = ((step % this.#size) + this.#size) % this.#size;
      const there = step >= 0 && this.#steps[place] === step + 1;
      latency.push(there && this.#measured[place]! > 0 ? Math.round(this.#latency[place]! * 10) / 10 : null);
      direct.push(there ? this.#direct[place]! : null);
      relayed.push(there ? this.#relayed[place]! : null);
    }
    const from = new Date(Math.max(0, first) * this.#stepMs).toISOString();
    return { step_s: this.#stepMs / 1000, from, latency_ms: latency, direct, relayed };
  }

  #stepOf(nowMs: number): number {
    return Math.floor(nowMs / this.#stepMs);
  }
}
