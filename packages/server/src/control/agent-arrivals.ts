/** The control connections of agents here, as the database knows them: an agent's state is of the newest one, wherever it is. */
import type { AuthenticatedAgent } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { connectionId } from "../base/connection-id.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Coordinator } from "./coordinator.ts";
import { ACCESS_REVOKED, type OpenSocket } from "./open-socket.ts";

export type AgentNames = Pick<AuthenticatedAgent, "agent" | "workspace">;

/** One connection of an agent. */
export interface Arrival extends AgentNames {
  /** Of the API that the agent speaks. */
  readonly version: string;
  readonly socket: Pick<OpenSocket, "over" | "end">;
  /** The id under which it is stored. */
  id: string;
}

export class AgentArrivals {
  readonly #agentState: Pick<AgentState, "connected" | "heartbeat" | "disconnected">;
  readonly #coordinator: Pick<Coordinator, "isConnected">;
  readonly #clock: WallClock;
  /** Those that are open, of each agent in the order of their ids. */
  readonly #open = new Map<string, Arrival[]>();

  constructor(options: {
    readonly agentState: Pick<AgentState, "connected" | "heartbeat" | "disconnected">;
    readonly coordinator: Pick<Coordinator, "isConnected">;
    readonly clock: WallClock;
  }) {
    this.#agentState = options.agentState;
    this.#coordinator = options.coordinator;
    this.#clock = options.clock;
  }

  /** A connection was opened. Store it next. */
  begin({ agent, workspace }: AgentNames, version: string, socket: Arrival["socket"]): Arrival {
    const arrival = { agent, workspace, version, socket, id: agent.connection_id };
    this.#putLast(arrival);
    return arrival;
  }

  /** The agent, as its newest connection here knows it. */
  of(agentId: string): AgentNames | undefined {
    return this.#newest(agentId);
  }

  /**
   * That the connection is there is stored by the statement that looks up whether it may be.
   * @returns why it has to end; undefined: it may stay.
   */
  async store({ agent, version, id, socket }: Arrival): Promise<string | undefined> {
    // Its end is stored by now: nothing would end it again.
    if (socket.over.aborted) return undefined;
    return (await this.#agentState.connected(agent.id, version, id, agent.token_generation))
      ? undefined
      : ACCESS_REVOKED;
  }

  /**
   * A sign of life. Where the agent's state is of another connection, though this one serves the agent, it is stored again: two
   * that began at the same time, here or at two servers, may be stored in another order than the one in which they took over; and
   * a database that fell back to a standby may have lost the arrival.
   */
  async answers(arrival: Arrival): Promise<void> {
    const agentId = arrival.agent.id;
    if (await this.#agentState.heartbeat(agentId, arrival.id)) return;
    if (this.#newest(agentId) === arrival && this.#coordinator.isConnected(agentId)) await this.#storeAgain(arrival);
  }

  /** The connection is over. The agent's state is of another one here, if there is one. */
  async ended(arrival: Arrival): Promise<void> {
    const agentId = arrival.agent.id;
    const wasNewest = this.#newest(agentId) === arrival;
    this.#remove(arrival);
    if (!wasNewest) return;
    const other = this.#newest(agentId);
    if (other === undefined) await this.#agentState.disconnected(agentId, arrival.id);
    else await this.#storeAgain(other);
  }

  async #storeAgain(arrival: Arrival): Promise<void> {
    this.#putLast(arrival);
    const reason = await this.store(arrival);
    if (reason !== undefined) arrival.socket.end(reason);
  }

  #newest(agentId: string): Arrival | undefined {
    return this.#open.get(agentId)?.at(-1);
  }

  /** Gives the connection an id behind all others that are known of its agent. */
  #putLast(arrival: Arrival): void {
    const agentId = arrival.agent.id;
    arrival.id = connectionId(this.#clock.now(), arrival.id, this.#newest(agentId)?.id ?? "");
    const others = (this.#open.get(agentId) ?? []).filter((other) => other !== arrival);
    this.#open.set(agentId, [...others, arrival]);
  }

  #remove(arrival: Arrival): void {
    const agentId = arrival.agent.id;
    const others = (this.#open.get(agentId) ?? []).filter((other) => other !== arrival);
    if (others.length === 0) this.#open.delete(agentId);
    else this.#open.set(agentId, others);
  }
}
