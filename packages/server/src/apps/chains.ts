/**
 * Chains of sign-ins: hosts that a browser visits one after the other after a sign-in, to get a session at each of them, for
 * example at an app and at the APIs that its pages call. The browser carries the stops that remain, sealed and bound to the next
 * host, because its requests may reach any server of the deployment or a workspace proxy.
 */
import { z } from "zod";
import { parsedJson } from "../base/parsed-json.ts";
import { Sealing } from "./sealing.ts";

const LIFETIME_MS = 60_000;
/**
 * Maximum length of the sealed content. A longer address gets no chain; the user then signs in to each further host on the first
 * visit.
 */
const MAX_CONTENT = 2_048;
const PATH = /^\/\.coder\/chain\/([A-Za-z0-9_-]{40,4096})(?:\?|$)/;

export interface ChainStop {
  /** In lower case, without a port. */
  readonly hostname: string;
  readonly origin: string;
}

const chain = z.object({
  userId: z.string(),
  endsAt: z.number(),
  /** The stops that remain after the host that the seal is bound to. */
  origins: z.array(z.string()),
  finalUrl: z.string(),
});
type Chain = z.infer<typeof chain>;

export class AppChains {
  readonly #sealing: Sealing;

  /** @param shared The deployment's signing key, which all its servers share. */
  constructor(shared: Uint8Array) {
    this.#sealing = new Sealing(shared, "app chain");
  }

  /** Returns the first URL to visit; undefined if there are no stops or the final address is too long to be carried. */
  begin(userId: string, stops: readonly ChainStop[], finalUrl: string, now: number): string | undefined {
    const origins = stops.map(({ origin }) => origin);
    return this.#next({ userId, endsAt: now + LIFETIME_MS, origins, finalUrl });
  }

  /** Whether `sealed` is a chain whose next stop is this host. */
  stopsAt(sealed: string, hostname: string, now: number): boolean {
    return this.#open(sealed, hostname, now) !== undefined;
  }

  /**
   * The URL that follows this stop; undefined if this host is not the chain's next stop, or the chain belongs to another user.
   */
  next(sealed: string, hostname: string, userId: string, now: number): string | undefined {
    const found = this.#open(sealed, hostname, now);
    if (found === undefined || found.userId !== userId) return undefined;
    return this.#next(found) ?? found.finalUrl;
  }

  #next({ origins: [origin, ...origins], ...rest }: Chain): string | undefined {
    if (origin === undefined) return undefined;
    const content = JSON.stringify({ ...rest, origins });
    if (content.length > MAX_CONTENT) return undefined;
    return `${origin}/.coder/chain/${this.#sealing.seal(content, [new URL(origin).hostname])}`;
  }

  #open(sealed: string, hostname: string, now: number): Chain | undefined {
    const content = this.#sealing.open(sealed, [hostname]);
    const read = content === undefined ? undefined : chain.safeParse(parsedJson(content)).data;
    return read === undefined || read.endsAt <= now ? undefined : read;
  }
}

/** The sealed chain in a request target; undefined for any other target. */
export function chainId(target: string): string | undefined {
  return PATH.exec(target)?.[1];
}
