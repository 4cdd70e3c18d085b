/**
 * The holders of the connections that agents report. A holder is known when its connection begins, and is needed again when the
 * connection ends and its client is gone.
 */
import type { PeerAuth } from "./peer-auth.ts";

/** Beyond this number the oldest are removed. */
const MAX_OPEN = 4_096;

export type ConnectionHolder = Pick<PeerAuth, "holder" | "sessionId">;

export class ConnectionHolders {
  readonly #open = new Map<string, ConnectionHolder>();

  /** @param id The agent's number for the connection. */
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
