/** Pairs of an agent and its client, and how long each was not complete. */
import { SimulatedPeer, type Site } from "./control-peer.ts";
import type { AgentLogin } from "./registration.ts";

/**
 * A pair is complete when both are connected, each has the latest node of the other, and the client knows that the agent is
 * ready.
 */
export class Pair {
  readonly agentId: string;
  readonly login: AgentLogin;
  readonly agent: SimulatedPeer;
  readonly client: SimulatedPeer;
  readonly #record: (gapMs: number) => void;
  /** Undefined while it is complete. */
  #brokenAt: number | undefined = performance.now();
  #completeAt = 0;

  /** @param record Called when the pair becomes complete, with how long it was not. */
  constructor(site: Site, login: AgentLogin, record: (gapMs: number) => void) {
    this.agentId = login.agentId;
    this.login = login;
    this.agent = SimulatedPeer.agent(site, login);
    this.client = SimulatedPeer.client(site, login);
    this.#record = record;
    this.agent.onChange = () => this.#look();
    this.client.onChange = () => this.#look();
  }

  get isComplete(): boolean {
    return this.#brokenAt === undefined;
  }

  /** When it last became complete. */
  get completeAt(): number {
    return this.#completeAt;
  }

  start(): void {
    this.agent.start();
    this.client.start();
  }

  #look(): void {
    const { agent, client } = this;
    const knowsOther =
      agent.sentMark > 0 &&
      client.sentMark > 0 &&
      client.heardMark(agent.key) === agent.sentMark &&
      agent.heardMark(client.key) === client.sentMark;
    const isComplete = knowsOther && client.isReady;
    if (isComplete === this.isComplete) return;
    const now = performance.now();
    if (this.#brokenAt === undefined) {
      this.#brokenAt = now;
      return;
    }
    this.#record(now - this.#brokenAt);
    this.#brokenAt = undefined;
    this.#completeAt = now;
  }
}
