import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import { type Entries, entriesOf } from "./entries.ts";
import type { FeedSource } from "./feed.ts";

const ASK_EVERY_MS = 3_000;

/** What an agent is asked for again and again while somebody follows it. One subscriber's credentials ask for all of them. */
export class AskedSource implements FeedSource {
  readonly everyMs = ASK_EVERY_MS;
  readonly watch?: NonNullable<FeedSource["watch"]>;
  readonly #requests = new Set<TunnelRequest>();
  readonly #ask: (request: TunnelRequest | undefined) => Promise<Readonly<Record<string, unknown>>>;

  /** @param ask Gets no request while the last subscriber leaves. @param watch Changes after which to ask at once. */
  constructor(
    ask: (request: TunnelRequest | undefined) => Promise<Readonly<Record<string, unknown>>>,
    watch?: NonNullable<FeedSource["watch"]>,
  ) {
    this.#ask = ask;
    if (watch !== undefined) this.watch = watch;
  }

  /** @param request An object of this subscriber alone. Returns the function to call when the subscriber leaves. */
  askAs(request: TunnelRequest): () => void {
    this.#requests.add(request);
    return () => this.#requests.delete(request);
  }

  async read(): Promise<Entries> {
    const [request] = this.#requests;
    return entriesOf(await this.#ask(request));
  }
}
