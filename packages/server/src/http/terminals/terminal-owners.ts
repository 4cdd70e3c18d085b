/**
 * The user to whom each terminal id belongs: the id alone gives no access to another user's terminal. The agent checks this as
 * well while the terminal exists.
 */
export class TerminalOwners {
  readonly #limit: number;
  /** User by agent and terminal; the least recently used first. */
  readonly #owners = new Map<string, string>();

  /** @param limit Beyond this number, the least recently used terminal is forgotten here. */
  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  /** Assigns an unused id to the user. @returns "new" for an unused id, otherwise whose it is. */
  claim(agentId: string, terminalId: string, userId: string): "new" | "own" | "other" {
    const key = `${agentId} ${terminalId}`;
    const owner = this.#owners.get(key);
    if (owner !== undefined && owner !== userId) return "other";
    this.#owners.delete(key);
    this.#owners.set(key, userId);
    const [oldest] = this.#owners.keys();
    if (this.#owners.size > this.#limit && oldest !== undefined) this.#owners.delete(oldest);
    return owner === undefined ? "new" : "own";
  }
}
