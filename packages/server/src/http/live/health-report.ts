import { type Entries, entriesOf } from "./entries.ts";
import type { FeedSource } from "./feed.ts";
import { SubscriberCredentials } from "./subscriber-credentials.ts";

const ASK_EVERY_MS = 30_000;

/** The deployment's report on its own health, which the token of one subscriber asks for. */
export class HealthReport implements FeedSource {
  readonly everyMs = ASK_EVERY_MS;
  readonly tokens = new SubscriberCredentials<string>();
  readonly #ask: (token: string) => Promise<Readonly<Record<string, unknown>>>;

  constructor(ask: (token: string) => Promise<Readonly<Record<string, unknown>>>) {
    this.#ask = ask;
  }

  /** Undefined without subscribers. */
  async read(): Promise<Entries | undefined> {
    const token = this.tokens.first;
    return token === undefined ? undefined : entriesOf(await this.#ask(token));
  }
}
