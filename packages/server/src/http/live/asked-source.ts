import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import { type Entries, entriesOf } from "./entries.ts";
import type { FeedSource } from "./feed.ts";

const ASK_EVERY_MS = 3_000;

/**
 * Data that is requested from an agent periodically while anyone follows it. The credentials of one subscriber are used on behalf
 * of all.
 */
export class AskedSource implements FeedSource {
  readonly everyMs = ASK_EVERY_MS;
  readonly watch?: NonNullable<FeedSource["watch"]>;
  readonly #requests = new Set<TunnelRequest>();
  readonly #ask: (request: TunnelRequest | undefined) => Promise<Readonly<Record<string, unknown>>>;

  /**
   * @param ask Gets no request if the last subscriber has just left. @param watch Calls back after changes that require asking at
   * once.
   */
  constructor(
    ask: (request: TunnelRequest | undefined) => Promise<Readonly<Record<string, unknown>>>,
    watch?: NonNullable<FeedSource["watch"]>,
  ) {
    this.#ask = ask;
    if (watch !== undefined) this.watch = watch;
  }

  /** @param request An object that belongs to this subscriber only. Returns a function to call when the subscriber leaves. */
  askAs(request: TunnelRequest): () => void {
    this.#requests.add(request);
    return () => this.#requests.delete(request);
  }

  async read(): Promise<Entries> {
    const [request] = this.#requests;
    return entriesOf(await this.#ask(request));
  }
}
