/** The user that each terminal id belongs to: the id alone gives no access to another user's terminal. The agent checks it as well, as long as the terminal exists. */
export class TerminalOwners {
  readonly #limit: number;
  /** User by agent and terminal; the least recently used first. */
  readonly #owners = new Map<string, string>();

  /** @param limit Beyond it, the terminal used longest ago is forgotten here. */
  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  /** An id that is not in use becomes the user's. @returns "new" for such an id, else whose it is. */
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
