/**
 * Combines questions that are asked at about the same time into one. When thousands of connections arrive together, each looks up
 * the same few kinds of rows, and a statement for each would cost more than everything else that the connection does.
 */
import { DomainError } from "./domain-error.ts";

/** Questions that may wait. Beyond that they are refused. */
const MAX_WAITING = 20_000;
/** Longer lists would keep the event loop busy for too long when their answer arrives. */
const MAX_KEYS = 64;

export interface GatheredOptions<Answer> {
  /** Answers several questions; a key that is missing in the result has no answer. */
  readonly ask: (keys: readonly string[]) => Promise<ReadonlyMap<string, Answer>>;
  /** The error of a question that cannot wait. */
  readonly refusal: () => Error;
}

type Asked<Answer> = readonly [key: string, answer: PromiseWithResolvers<Answer | undefined>];

export class Gathered<Answer> {
  readonly #options: GatheredOptions<Answer>;
  readonly #waiting = new Map<string, PromiseWithResolvers<Answer | undefined>>();
  /** A request is under way, or begins after this turn of the event loop. */
  #isBusy = false;

  constructor(options: GatheredOptions<Answer>) {
    this.#options = options;
  }

  /**
   * The answer, which is not older than this call. A question that comes alone is sent in this turn of the event loop; while a
   * request is under way, further ones wait for the next. Equal questions that wait share the answer. Rejects if the request that
   * contained the question failed.
   */
  get(key: string): Promise<Answer | undefined> {
    const same = this.#waiting.get(key);
    if (same !== undefined) return same.promise;
    if (this.#waiting.size >= MAX_WAITING) return Promise.reject(this.#options.refusal());
    const asked = Promise.withResolvers<Answer | undefined>();
    this.#waiting.set(key, asked);
    this.#schedule();
    return asked.promise;
  }

  #schedule(): void {
    if (this.#isBusy || this.#waiting.size === 0) return;
    this.#isBusy = true;
    setImmediate(() => {
      void this.#answer(this.#taken()).finally(() => {
        this.#isBusy = false;
        this.#schedule();
      });
    });
  }

  #taken(): Asked<Answer>[] {
    const taken: Asked<Answer>[] = [];
    for (const question of this.#waiting) {
      if (taken.length === MAX_KEYS) break;
      taken.push(question);
    }
    for (const [key] of taken) this.#waiting.delete(key);
    return taken;
  }

  /** Never rejects. */
  async #answer(asked: readonly Asked<Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.ask(asked.map(([key]) => key));
      for (const [key, { resolve }] of asked) resolve(answers.get(key));
    } catch (error) {
      for (const [, { reject }] of asked) reject(error);
      // No question can be answered now, and each further request would take as long to fail.
      if (error instanceof DomainError && error.code === "unavailable") this.#refuseWaiting(error);
    }
  }

  #refuseWaiting(error: DomainError): void {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}
