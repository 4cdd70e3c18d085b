/**
 * Requests whose sender is not known, until they are answered or the sender has logged in. A slow body, or an answer that is read
 * slowly, holds a place for as long as its client likes; so the place is shared out between sources when there is none left: the
 * source with the most gives up its oldest for one that has fewer.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { siteBlock } from "./address-block.ts";
import { DomainError } from "./domain-error.ts";
import type { PlaceLimits } from "./places.ts";

interface Sender {
  readonly source: string;
  readonly response: ServerResponse;
}

/** What identifies a request. */
type Request = Pick<IncomingMessage, "headers">;

const held = new WeakMap<Request, () => void>();

/** Authenticators call it: from now on a share of the user, agent or proxy that sent the request bounds it. */
export function senderIsKnown(request: Request): void {
  held.get(request)?.();
}

export class UnknownSenders {
  readonly #limits: PlaceLimits;
  /** Oldest first. */
  readonly #bySource = new Map<string, Set<Sender>>();
  #count = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return this.#count;
  }

  /**
   * Holds a place until the response is closed or the sender is known. Throws DomainError "too-many" or "busy". A request that has
   * to give up its place is cut off without an answer: what reads its body, or writes its answer, may be at work.
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

  /** @param own Places of the source that needs one. */
  #makeRoom(own: number): boolean {
    let most: Set<Sender> | undefined;
    for (const senders of this.#bySource.values()) if (senders.size > Math.max(own, most?.size ?? 0)) most = senders;
    const [oldest] = most ?? [];
    // With as many as the one that has the most, nothing is gained by taking turns.
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
