/** Requests to a deployment, one after the other, while a bench takes its servers away. */
import { setTimeout as sleep } from "node:timers/promises";

const EVERY_MS = 20;
const ANSWER_WITHIN_MS = 10_000;

export class RestProbe {
  requests = 0;
  readonly failures = new Map<string, number>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor(url: string, token: string) {
    this.#running = this.#run(`${url}/api/v2/users/me`, token);
  }

  async #run(url: string, token: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
      const outcome = await fetch(url, { headers: { "Coder-Session-Token": token }, signal }).then(
        async (answer) => {
          await answer.arrayBuffer();
          return answer.ok ? undefined : `answer ${answer.status}`;
        },
        (error: Error) => `${error.message}: ${(error.cause as Error | undefined)?.message}`,
      );
      this.requests++;
      if (outcome !== undefined) this.failures.set(outcome, (this.failures.get(outcome) ?? 0) + 1);
      await sleep(EVERY_MS, undefined, { signal: this.#stopping.signal }).catch(() => undefined); // stopped
    }
  }

  /** @returns the share of requests that failed. */
  async stop(): Promise<number> {
    this.#stopping.abort();
    await this.#running;
    return [...this.failures.values()].reduce((sum, count) => sum + count, 0) / this.requests;
  }
}
