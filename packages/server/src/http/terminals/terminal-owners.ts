/** Whose terminal an id is: the id alone joins nobody else's. The agent knows too, for as long as the terminal lives. */
export class TerminalOwners {
  readonly #limit: number;
  /** User by agent and terminal; the least recently used first. */
  readonly #owners = new Map<string, string>();

  /** @param limit Beyond it the terminal that was used longest ago is forgotten here. */
  constructor(limit = 10_000) {
    this.#limit = limit;
  }

  /** @returns whether the terminal is the user's; one that nobody used before is from now on. */
  claim(agentId: string, terminalId: string, userId: string): boolean {
    const key = `${agentId} ${terminalId}`;
    const owner = this.#owners.get(key);
    if (owner !== undefined && owner !== userId) return false;
    this.#owners.delete(key);
    this.#owners.set(key, userId);
    const [oldest] = this.#owners.keys();
    if (this.#owners.size > this.#limit && oldest !== undefined) this.#owners.delete(oldest);
    return true;
  }
}
