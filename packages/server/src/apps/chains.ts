/**
 * Hosts that a browser visits one after the other behind a sign-in, so that each gets a session of its own: an app and the APIs
 * that its pages call. What is left to visit is kept here; the browser carries an id. After a restart the chain has ended, and
 * what is left is signed in to by its first visit.
 */
import { randomBytes } from "node:crypto";

const ID_BYTES = 16;
const LIFETIME_MS = 60_000;
/** The oldest go first. */
const MAX_CHAINS = 10_000;
const PATH = /^\/\.coder\/chain\/([A-Za-z0-9_-]{22})(?:\?|$)/;

export interface ChainStop {
  /** In lower case, without a port. */
  readonly hostname: string;
  readonly origin: string;
}

interface Chain {
  readonly userId: string;
  readonly stops: ChainStop[];
  readonly finalUrl: string;
  readonly madeAt: number;
}

export class AppChains {
  readonly #chains = new Map<string, Chain>();

  /** Returns where to go first. */
  begin(userId: string, stops: readonly [ChainStop, ...ChainStop[]], finalUrl: string, now: number): string {
    for (const [id, { madeAt }] of this.#chains) {
      if (now - madeAt < LIFETIME_MS && this.#chains.size < MAX_CHAINS) break;
      this.#chains.delete(id);
    }
    const id = randomBytes(ID_BYTES).toString("base64url");
    this.#chains.set(id, { userId, stops: [...stops], finalUrl, madeAt: now });
    return `${stops[0].origin}${chainPath(id)}`;
  }

  /** Whether the chain stops at this host next. */
  stopsAt(id: string, hostname: string, now: number): boolean {
    const chain = this.#chains.get(id);
    return chain !== undefined && now - chain.madeAt < LIFETIME_MS && chain.stops[0]?.hostname === hostname;
  }

  /** Where to go on; undefined when the chain is another user's. A host may have a session of an older login of the user. */
  next(id: string, userId: string): string | undefined {
    const chain = this.#chains.get(id);
    if (chain === undefined || chain.userId !== userId) return undefined;
    chain.stops.shift();
    const [stop] = chain.stops;
    if (stop !== undefined) return `${stop.origin}${chainPath(id)}`;
    this.#chains.delete(id);
    return chain.finalUrl;
  }
}

/** The id in a request target; undefined for any other target. */
export function chainId(target: string): string | undefined {
  return PATH.exec(target)?.[1];
}

function chainPath(id: string): string {
  return `/.coder/chain/${id}`;
}
