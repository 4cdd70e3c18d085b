/**
 * Requests whose sender is unknown, until they are answered or the sender is authenticated. A slow body, or an answer that is
 * read slowly, holds a place for as long as its client likes. So when no place is left, the source with the most places gives up
 * its oldest for a source with fewer.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { siteBlock } from "./address-block.ts";
import { DomainError } from "./domain-error.ts";
import type { PlaceLimits } from "./places.ts";

interface Sender {
  readonly source: string;
  readonly response: ServerResponse;
}

/** Identifies a request. */
type Request = Pick<IncomingMessage, "headers">;

const held = new WeakMap<Request, () => void>();

/** Authenticators call this: from now on a limit on the user, agent or proxy that sent the request applies instead. */
export function senderIsKnown(request: Request): void {
  held.get(request)?.();
}

export class UnknownSenders {
  readonly #limits: PlaceLimits;
  /** In order of arrival. */
  readonly #bySource = new Map<string, Set<Sender>>();
  #count = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Holds a place until the response is closed or the sender is known. Throws DomainError "too-many" or "busy". A request that
   * has to give up its place is disconnected without an answer, because its body may be in the middle of being read, or its
   * answer of being written.
   */
  admit(request: IncomingMessage, response: ServerResponse, address: string): void {
    if (response.destroyed) return;
    const source = siteBlock(address);
    const own = this.#bySource.get(source)?.size ?? 0;
    const { total, perAddress = total } = this.#limits;
    if (own >= perAddress) throw full("too-many", `from this address, at most ${perAddress}`);
    if (this.#count >= total && !this.#makeRoom(own)) throw full("busy", "at this server");
    const sender = { source, response };
    const senders = this.#bySource.get(source) ?? new Set<Sender>();
    this.#bySource.set(source, senders);
    senders.add(sender);
    this.#count++;
    const leave = (): void => this.#leave(sender);
    held.set(request, leave);
    response.once("close", leave);
  }

  /** @param own The number of places held by the source that needs one. */
  #makeRoom(own: number): boolean {
    let most: Set<Sender> | undefined;
    for (const senders of this.#bySource.values()) if (senders.size > Math.max(own, most?.size ?? 0)) most = senders;
    const [oldest] = most ?? [];
    // Taking a place from a source with just as many would gain nothing.
    if (oldest === undefined) return false;
    this.#leave(oldest);
    oldest.response.destroy();
    return true;
  }

  #leave(sender: Sender): void {
    const senders = this.#bySource.get(sender.source);
    if (senders?.delete(sender) !== true) return;
    this.#count--;
    if (senders.size === 0) this.#bySource.delete(sender.source);
  }
}

function full(code: "too-many" | "busy", where: string): DomainError {
  return new DomainError(code, `Too many open requests ${where}.`, { retryAfterSeconds: 10 });
}
