/**
 * Shares out the threads on which file operations run. They are few, and names are looked up on them too; an operation on a
 * network mount that hangs holds one for as long as it hangs. A client gets two, so that it blocks only itself, and all clients
 * together leave some free.
 */
export class FileTurns {
  readonly #perClient: number;
  readonly #total: number;
  readonly #running = new Map<string, number>();
  /** In order of arrival; each connection waits for one operation at a time. */
  readonly #waiting: { readonly client: string; readonly start: () => void }[] = [];
  #taken = 0;

  constructor(perClient: number, total: number) {
    this.#perClient = perClient;
    this.#total = total;
  }

  /** Runs the operation when it is the client's turn. */
  async run<T>(client: string, operation: () => Promise<T>): Promise<T> {
    if (!this.#take(client)) await this.#wait(client);
    try {
      return await operation();
    } finally {
      this.#leave(client);
    }
  }

  /** Call this between the parts of a long operation: it lets the operations go first that are waiting already. */
  async passOn(client: string): Promise<void> {
    if (this.#waiting.length === 0) return;
    this.#leave(client);
    if (!this.#take(client)) await this.#wait(client);
  }

  #wait(client: string): Promise<void> {
    return new Promise((start) => this.#waiting.push({ client, start }));
  }

  #mayStart(client: string): boolean {
    return this.#taken < this.#total && (this.#running.get(client) ?? 0) < this.#perClient;
  }

  /** @returns Whether a turn was left. */
  #take(client: string): boolean {
    if (!this.#mayStart(client)) return false;
    this.#taken++;
    this.#running.set(client, (this.#running.get(client) ?? 0) + 1);
    return true;
  }

  #leave(client: string): void {
    this.#taken--;
    const left = this.#running.get(client)! - 1;
    if (left === 0) this.#running.delete(client);
    else this.#running.set(client, left);
    const next = this.#waiting.findIndex((waiter) => this.#mayStart(waiter.client));
    if (next < 0) return;
    const [waiter] = this.#waiting.splice(next, 1);
    this.#take(waiter!.client);
    waiter!.start();
  }
}
