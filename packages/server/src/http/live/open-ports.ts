import type { ListeningPortsResponse } from "coder-protocol/rest/agents";
import type { PortSharesResponse } from "coder-protocol/rest/apps";
import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import { type Entries, entriesOf } from "./entries.ts";
import type { FeedSource } from "./feed.ts";

const ASK_EVERY_MS = 3_000;

/** The ports that programs of a workspace listen on, and who may use them. One subscriber's credentials ask for all of them. */
export class OpenPorts implements FeedSource {
  readonly everyMs = ASK_EVERY_MS;
  readonly #requests = new Set<TunnelRequest>();
  readonly #ask: (request: TunnelRequest) => Promise<ListeningPortsResponse>;
  readonly #shares: () => Promise<PortSharesResponse>;
  readonly #watch: (changed: () => void) => () => void;

  constructor(options: {
    readonly ask: (request: TunnelRequest) => Promise<ListeningPortsResponse>;
    readonly shares: () => Promise<PortSharesResponse>;
    readonly watch: (changed: () => void) => () => void;
  }) {
    this.#ask = options.ask;
    this.#shares = options.shares;
    this.#watch = options.watch;
  }

  /** @param request An object of this subscriber alone. Returns the function to call when the subscriber leaves. */
  askAs(request: TunnelRequest): () => void {
    this.#requests.add(request);
    return () => this.#requests.delete(request);
  }

  watch(changed: () => void): () => void {
    return this.#watch(changed);
  }

  async read(): Promise<Entries> {
    const [request] = this.#requests;
    const listening = request === undefined ? { ports: [] } : await this.#ask(request);
    return entriesOf({ ...listening, ...(await this.#shares()) });
  }
}
