import type { Instant } from "../../src/base/instant.ts";
import { Link } from "../../src/testing/link.ts";

/** One of several senders on the same link. All of them must be stepped at every event of any. */
export class Lane extends Link {
  readonly #shared: Link;
  readonly #owners: WeakMap<Uint8Array, Lane>;
  readonly #arrived: [at: Instant, packet: Uint8Array][] = [];

  constructor(shared: Link, owners: WeakMap<Uint8Array, Lane>) {
    super(shared.options, 1);
    this.#shared = shared;
    this.#owners = owners;
  }
  override send(packet: Uint8Array, now: Instant): void {
    this.#owners.set(packet, this);
    this.#shared.send(packet, now);
  }
  override nextTimeout(): Instant | undefined {
    return this.#arrived[0]?.[0] ?? this.#shared.nextTimeout();
  }
  override receive(now: Instant): Uint8Array | undefined {
    for (let packet = this.#shared.receive(now); packet !== undefined; packet = this.#shared.receive(now))
      this.#owners.get(packet)!.#arrived.push([now, packet]);
    return this.#arrived.shift()?.[1];
  }
}
