/** Compares the view of the other servers with the database page by page, so that other changes can be read in between. */
import type { PeerRow, TunnelRow, WholePage, WholeServer } from "./rows.ts";

export class Comparison {
  readonly #servers: string[];
  readonly #peers = new Map<string, PeerRow>();
  readonly #tunnels = new Map<string, TunnelRow>();
  #after = 0;
  #isComplete = true;

  /** @param servers Compared one after the other. */
  constructor(servers: readonly string[]) {
    this.#servers = [...servers];
  }

  /** The next page to read: changes of a server above `after`. Undefined when all servers have been compared. */
  get next(): { readonly server: string; readonly after: number } | undefined {
    const [server] = this.#servers;
    return server === undefined ? undefined : { server, after: this.#after };
  }

  /**
   * Takes the page that `next` described.
   * @returns all rows of the server with its last page. Each row is as it was when its page was read; one that changed meanwhile
   * has a greater number and was read again.
   */
  page({ rows, bad, seen, head }: WholePage): WholeServer | undefined {
    for (const row of rows.peers) this.#peers.set(row.id, row);
    for (const row of rows.tunnels) this.#tunnels.set(`${row.from} ${row.to}`, row);
    if (bad > 0) this.#isComplete = false;
    this.#after = seen;
    if (head === "more") return undefined;
    const peers = [...this.#peers.values()];
    const tunnels = [...this.#tunnels.values()];
    const isComplete = this.#isComplete;
    this.#servers.shift();
    this.#peers.clear();
    this.#tunnels.clear();
    this.#after = 0;
    this.#isComplete = true;
    return head === undefined ? undefined : { peers, tunnels, head, isComplete };
  }
}
