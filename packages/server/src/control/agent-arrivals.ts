/**
 * Stores that agents are connected to this server. The database describes one connection of each agent: the newest one, at whichever
 * server it is.
 */
import type { AuthenticatedAgent } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { connectionId } from "../base/connection-id.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Coordinator } from "./coordinator.ts";
import { ACCESS_REVOKED, type OpenSocket } from "./open-socket.ts";

export type AgentNames = Pick<AuthenticatedAgent, "agent" | "workspace">;

/** One connection of an agent. */
export interface Arrival extends AgentNames {
  /** The version of the API that the agent uses. */
  readonly version: string;
  readonly socket: Pick<OpenSocket, "over" | "end">;
  /** The id under which it is stored. */
  id: string;
}

export class AgentArrivals {
  readonly #agentState: Pick<AgentState, "connected" | "heartbeat" | "disconnected">;
  readonly #coordinator: Pick<Coordinator, "isConnected">;
  readonly #clock: WallClock;
  /** The open connections by agent, each list in the order of the ids. */
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

  /** Registers an open connection. Call `store` next. */
  begin({ agent, workspace }: AgentNames, version: string, socket: Arrival["socket"]): Arrival {
    const arrival = { agent, workspace, version, socket, id: agent.connection_id };
    this.#putLast(arrival);
    return arrival;
  }

  /** The agent as its newest connection here has it; undefined if there is none. */
  of(agentId: string): AgentNames | undefined {
    return this.#newest(agentId);
  }

  /**
   * Stores the connection with the same statement that checks whether it may stay.
   * @returns why it has to end; undefined if it may stay.
   */
  async store({ agent, version, id, socket }: Arrival): Promise<string | undefined> {
    // Its end has been stored already, so nothing would mark it as disconnected again.
    if (socket.over.aborted) return undefined;
    return (await this.#agentState.connected(agent.id, version, id, agent.token_generation))
      ? undefined
      : ACCESS_REVOKED;
  }

  /**
   * Stores a heartbeat. If the database describes another connection although this one serves the agent, this one is stored again.
   * This happens if two connections began at the same time and were stored in the wrong order, or if the database failed over to a
   * standby that lacked the last commits.
   */
  async answers(arrival: Arrival): Promise<void> {
    const agentId = arrival.agent.id;
    if (await this.#agentState.heartbeat(agentId, arrival.id)) return;
    if (this.#newest(agentId) === arrival && this.#coordinator.isConnected(agentId)) await this.#storeAgain(arrival);
  }

  /** Stores that the connection is over. If the agent has another one here, that one is stored in its place. */
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

  /** Gives the connection an id that sorts after all known ones of its agent. */
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
