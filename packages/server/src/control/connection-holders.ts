/** Whose the connections are that agents report: known when one begins, asked for again when it ends and its client is gone. */
import type { PeerAuth } from "./peer-auth.ts";

/** Oldest go first. */
const MAX_OPEN = 4_096;

export type ConnectionHolder = Pick<PeerAuth, "holder" | "sessionId">;

export class ConnectionHolders {
  readonly #open = new Map<string, ConnectionHolder>();

  /** @param id Of the connection, as its agent numbers it. */
  began(agentId: string, id: string, holder: ConnectionHolder): void {
    this.#open.set(`${agentId} ${id}`, holder);
    if (this.#open.size > MAX_OPEN) this.#open.delete(this.#open.keys().next().value!);
  }

  ended(agentId: string, id: string): ConnectionHolder | undefined {
    const key = `${agentId} ${id}`;
    const holder = this.#open.get(key);
    this.#open.delete(key);
    return holder;
  }
}
