import { addMs, type Instant, instant } from "../base/instant.ts";
import type { RandomSource } from "../base/ports.ts";

/** A RandomSource from a seed (xorshift128, seeded by splitmix32). Repeatable, so never for secrets. */
export class LinkRandom implements RandomSource {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    let x = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#state[i] = (z ^ (z >>> 16)) | (i === 0 ? 1 : 0);
    }
  }

  uint32(): number {
    const s = this.#state;
    let t = s[3]!;
    t ^= t << 11;
    t ^= t >>> 8;
    s[3] = s[2]!;
    s[2] = s[1]!;
    s[1] = s[0]!;
    s[0] = t ^ s[0]! ^ (s[0]! >>> 19);
    return s[0]!;
  }
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.uint32() & 255;
    return bytes;
  }
  /** Uniform in 0 … 1, 1 excluded. */
  fraction(): number {
    return this.uint32() / 0x100000000;
  }
}

/** One direction of a path. */
export interface LinkOptions {
  /** Bits per second; Infinity by default. */
  readonly rateBps?: number;
  /** Propagation, one way. */
  readonly delayMs?: number;
  /** Uniform extra delay, 0 … jitterMs, which may reorder. */
  readonly jitterMs?: number;
  /** Probability 0 … 1 that a packet vanishes. */
  readonly loss?: number;
  /** Probability that a packet is held back for reorderMs, so that later ones overtake it. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  /** Probability that a packet arrives twice. */
  readonly duplicate?: number;
  /** Bytes that may wait for transmission; the rest is dropped at the tail. Default 1 MB. */
  readonly queueBytes?: number;
  /** Larger packets are dropped silently. */
  readonly mtu?: number;
  /** Added to each packet on the wire, for the headers around it. */
  readonly overheadBytes?: number;
}

interface InTransit {
  readonly at: number;
  readonly order: number;
  readonly packet: Uint8Array;
}

/** A simulated link in virtual time: rate, queue, delay, jitter, loss, reordering, duplication; the same every run. */
export class Link {
  options: LinkOptions;
  /** Nothing passes while true. */
  down = false;
  sentPackets = 0;
  sentBytes = 0;
  /** Packets lost by loss, queue overflow, MTU or outage. */
  lostPackets = 0;
  queueDrops = 0;
  readonly #random: LinkRandom;
  readonly #heap: InTransit[] = [];
  #order = 0;
  #busyUntil = Number.NEGATIVE_INFINITY;

  constructor(options: LinkOptions, seed: number) {
    this.options = options;
    this.#random = new LinkRandom(seed);
  }

  /** @param packet Owned. */
  send(packet: Uint8Array, now: Instant): void {
    const { options } = this;
    this.sentPackets++;
    this.sentBytes += packet.length;
    const draw = this.#random.fraction();
    if (this.down || packet.length > (options.mtu ?? 65535) || draw < (options.loss ?? 0)) {
      this.lostPackets++;
      return;
    }
    const rate = options.rateBps ?? Number.POSITIVE_INFINITY;
    const bits = 8 * (packet.length + (options.overheadBytes ?? 0));
    const startAt = Math.max(now, this.#busyUntil);
    const waitingBytes = ((startAt - now) * rate) / 8000;
    if (rate !== Number.POSITIVE_INFINITY && waitingBytes > (options.queueBytes ?? 1_000_000)) {
      this.lostPackets++;
      this.queueDrops++;
      return;
    }
    this.#busyUntil = startAt + (bits / rate) * 1000;
    this.#deliverAt(packet);
    if (options.duplicate !== undefined && this.#random.fraction() < options.duplicate) this.#deliverAt(packet.slice());
  }

  nextTimeout(): Instant | undefined {
    const first = this.#heap[0];
    return first === undefined ? undefined : instant(first.at);
  }

  /** The next packet that has arrived by now, owned by the caller; undefined when none has. */
  receive(now: Instant): Uint8Array | undefined {
    const first = this.#heap[0];
    if (first === undefined || first.at > now) return undefined;
    const last = this.#heap.pop()!;
    if (last !== first) this.#sink(last);
    return first.packet;
  }

  #deliverAt(packet: Uint8Array): void {
    const { options } = this;
    let at = this.#busyUntil + (options.delayMs ?? 0);
    if (options.jitterMs !== undefined) at += this.#random.fraction() * options.jitterMs;
    if (options.reorder !== undefined && this.#random.fraction() < options.reorder) at += options.reorderMs ?? 10;
    this.#push({ at: addMs(instant(at), 0), order: this.#order++, packet });
  }

  #push(item: InTransit): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(item);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(item, heap[parent]!)) break;
      heap[index] = heap[parent]!;
      index = parent;
    }
    heap[index] = item;
  }

  /** Puts an item at the root and restores the order. */
  #sink(item: InTransit): void {
    const heap = this.#heap;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, item)) break;
      heap[index] = heap[child]!;
      index = child;
    }
    heap[index] = item;
  }
}

function before(a: InTransit, b: InTransit): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
