import type { AccessEvents } from "../auth/access-events.ts";
import type { WallClock } from "../base/clock.ts";
import type { AgentNetwork } from "./agent-network.ts";
import { HISTORY_RANGES, NetworkHistory } from "./network-history.ts";

/** The key of the history of all agents together. */
export const WHOLE_DEPLOYMENT = "";

export interface NetworkRecorderOptions {
  /** The agents that are connected. */
  readonly agents: () => Iterable<string>;
  readonly network: (agentId: string) => AgentNetwork | undefined;
  readonly events: AccessEvents;
  readonly clock: WallClock;
}

/** Periodically records how every connected agent is reached. */
export class NetworkRecorder {
  readonly history = new NetworkHistory();
  readonly #options: NetworkRecorderOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #stopEvents: () => void;

  constructor(options: NetworkRecorderOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.record(), HISTORY_RANGES["1h"].stepMs);
    this.#timer.unref();
    this.#stopEvents = options.events.subscribe((event) => {
      if (event.kind === "workspace-deleted") for (const agentId of event.agentIds) this.history.forget(agentId);
    });
  }

  /** The agents by home region, and the clients of all of them by path. */
  current(): { readonly homes: ReadonlyMap<number, number>; readonly connections: AgentNetwork["connections"] } {
    const homes = new Map<number, number>();
    const connections = { direct: 0, relayed: 0, unknown: 0 };
    for (const [, network] of this.#networks()) {
      const home = network.home?.region_id;
      if (home !== undefined) homes.set(home, (homes.get(home) ?? 0) + 1);
      connections.direct += network.connections.direct;
      connections.relayed += network.connections.relayed;
      connections.unknown += network.connections.unknown;
    }
    return { homes, connections };
  }

  record(): void {
    const nowMs = this.#options.clock.now();
    let [direct, relayed] = [0, 0];
    for (const [agentId, network] of this.#networks()) {
      const { connections, median_latency_ms: latencyMs } = network;
      direct += connections.direct;
      relayed += connections.relayed;
      this.history.record(agentId, { latencyMs, direct: connections.direct, relayed: connections.relayed }, nowMs);
    }
    this.history.record(WHOLE_DEPLOYMENT, { latencyMs: undefined, direct, relayed }, nowMs);
  }

  close(): void {
    clearInterval(this.#timer);
    this.#stopEvents();
  }

  *#networks(): Iterable<readonly [string, AgentNetwork]> {
    for (const agentId of this.#options.agents()) {
      const network = this.#options.network(agentId);
      if (network !== undefined) yield [agentId, network];
    }
  }
}
