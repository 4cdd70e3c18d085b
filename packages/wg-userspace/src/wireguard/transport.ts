/**
 * Batches of transport messages between slots and cipher. Jobs are collected here and passed to the cipher only when a
 * batch runs, so a batch of the cipher is always of one kind. While a batch runs, callbacks may add jobs: they go to a
 * second batch. Nothing is allocated per packet.
 */
import type { Drops } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { TRANSPORT_HEADER_LENGTH, TRANSPORT_OVERHEAD } from "./constants.ts";
import type { Keypair } from "./keypair.ts";
import { writeTransportHeader } from "./messages.ts";
import type { Peer, Receiver } from "./peer.ts";

const TWO_32 = 2 ** 32;
/** A batch of large packets runs before it is full: what was just written is still in the cache then. */
const RUN_FROM_BYTES = 128 * 1024;

/** Where a message came from. The object is the identity; `id` names the address in cookies. */
export interface MessageSource {
  readonly id: Uint8Array;
  /** Identifies the host without its port, for rate limits. Default: `id`. */
  readonly hostId?: Uint8Array;
}

export interface TransportOutput {
  /** A sealed message; ownership of the slot passes with it. */
  sealed(peer: Peer, slot: number, length: number): void;
  /**
   * A message with a valid tag; the slot is borrowed. The replay check and everything after it are left to the
   * receiver.
   */
  opened(receiver: Receiver, keypair: Keypair, slot: number, length: number, source: MessageSource, now: Instant): void;
}

/** Jobs of one kind, in order. */
class Batch<Owner> {
  readonly owners: (Owner | undefined)[] = new Array(CIPHER_BATCH).fill(undefined);
  readonly keypairs: (Keypair | undefined)[] = new Array(CIPHER_BATCH).fill(undefined);
  readonly sources: (MessageSource | undefined)[] = new Array(CIPHER_BATCH).fill(undefined);
  readonly slots = new Int32Array(CIPHER_BATCH);
  /** Plaintext bytes. */
  readonly lengths = new Int32Array(CIPHER_BATCH);
  readonly jobs = new Int8Array(CIPHER_BATCH);
  count = 0;
  #bytes = 0;

  /** Whether it should run before another job is added. */
  get isDue(): boolean {
    return this.isFull || this.#bytes >= RUN_FROM_BYTES;
  }

  get isFull(): boolean {
    return this.count === CIPHER_BATCH;
  }

  add(owner: Owner, keypair: Keypair, source: MessageSource | undefined, slot: number, length: number): void {
    const i = this.count++;
    this.owners[i] = owner;
    this.keypairs[i] = keypair;
    this.sources[i] = source;
    this.slots[i] = slot;
    this.lengths[i] = length;
    this.#bytes += length;
  }

  clear(): void {
    this.owners.fill(undefined);
    this.keypairs.fill(undefined);
    this.sources.fill(undefined);
    this.count = this.#bytes = 0;
  }
}

export class Transport {
  readonly #cipher: PacketCipher;
  readonly #drops: Drops;
  readonly #output: TransportOutput;
  #seals = new Batch<Peer>();
  #spareSeals = new Batch<Peer>();
  #opens = new Batch<Receiver>();
  #spareOpens = new Batch<Receiver>();
  #sealing = false;
  #opening = false;

  constructor(cipher: PacketCipher, drops: Drops, output: TransportOutput) {
    this.#cipher = cipher;
    this.#drops = drops;
    this.#output = output;
  }

  /** Takes the slot, whose plaintext of `length` bytes is padded and complete. Consumes one counter. */
  queueSeal(peer: Peer, keypair: Keypair, slot: number, length: number): void {
    if (this.#seals.isDue) this.runSeals();
    if (this.#seals.isFull) {
      // a batch is running further up the stack
      this.#dropSeal(slot, "queue-full");
      return;
    }
    const counter = keypair.sendCounter++;
    const high = Math.floor(counter / TWO_32);
    writeTransportHeader(this.#cipher.memory.view, slot, keypair.remoteIndex, counter - high * TWO_32, high);
    this.#seals.add(peer, keypair, undefined, slot, length);
  }

  /** Takes the slot, which holds a transport message with `length` bytes of ciphertext before the tag. */
  queueOpen(
    receiver: Receiver,
    keypair: Keypair,
    slot: number,
    length: number,
    source: MessageSource,
    now: Instant,
  ): void {
    if (this.#opens.isDue) this.runOpens(now);
    if (this.#opens.isFull) {
      this.#drops.count("queue-full");
      this.#cipher.rx.release(slot);
      return;
    }
    this.#opens.add(receiver, keypair, source, slot, length);
  }

  /** Seals the queued packets and passes them to the output. Does nothing when called from within the output. */
  runSeals(): void {
    const batch = this.#seals;
    if (batch.count === 0 || this.#sealing) return;
    this.#seals = this.#spareSeals;
    this.#spareSeals = batch;
    this.#sealing = true;
    let handedOver = 0;
    try {
      const view = this.#cipher.memory.view;
      for (let i = 0; i < batch.count; i++) {
        const keypair = batch.keypairs[i]!;
        if (keypair.wiped) continue;
        const slot = batch.slots[i]!;
        this.#cipher.queueSeal(
          keypair.sendKey,
          view.getUint32(slot + 8, true),
          view.getUint32(slot + 12, true),
          slot + TRANSPORT_HEADER_LENGTH,
          batch.lengths[i]!,
        );
      }
      this.#cipher.runSeal();
      while (handedOver < batch.count) {
        const i = handedOver++;
        const slot = batch.slots[i]!;
        if (batch.keypairs[i]!.wiped) this.#dropSeal(slot, "no-keypair");
        else this.#output.sealed(batch.owners[i]!, slot, batch.lengths[i]! + TRANSPORT_OVERHEAD);
      }
    } finally {
      // Only after a callback threw, so the rest of the batch is dropped.
      for (; handedOver < batch.count; handedOver++) this.#cipher.tx.release(batch.slots[handedOver]!);
      batch.clear();
      this.#sealing = false;
    }
  }

  /** Opens the queued messages, in order of arrival. Does nothing when called from within the output. */
  runOpens(now: Instant): void {
    const batch = this.#opens;
    if (batch.count === 0 || this.#opening) return;
    this.#opens = this.#spareOpens;
    this.#spareOpens = batch;
    this.#opening = true;
    let released = 0;
    try {
      this.#openAll(batch);
      while (released < batch.count) {
        this.#openedOne(batch, released, now);
        this.#cipher.rx.release(batch.slots[released++]!);
      }
    } finally {
      // Only after a callback threw, so the rest of the batch is dropped.
      for (; released < batch.count; released++) this.#cipher.rx.release(batch.slots[released]!);
      batch.clear();
      this.#opening = false;
    }
  }

  /** Leaves the verdicts in batch.jobs: 1 valid, 0 invalid, -1 not tried. Callbacks may run the cipher again. */
  #openAll(batch: Batch<Receiver>): void {
    const view = this.#cipher.memory.view;
    for (let i = 0; i < batch.count; i++) {
      const keypair = batch.keypairs[i]!;
      const slot = batch.slots[i]!;
      batch.jobs[i] = keypair.wiped
        ? -1
        : this.#cipher.queueOpen(
            keypair.receiveKey,
            view.getUint32(slot + 8, true),
            view.getUint32(slot + 12, true),
            slot + TRANSPORT_HEADER_LENGTH,
            batch.lengths[i]!,
          );
    }
    this.#cipher.runOpen();
    for (let i = 0; i < batch.count; i++) {
      const job = batch.jobs[i]!;
      if (job >= 0) batch.jobs[i] = this.#cipher.verdict(job) ? 1 : 0;
    }
  }

  #openedOne(batch: Batch<Receiver>, i: number, now: Instant): void {
    const keypair = batch.keypairs[i]!;
    const verdict = batch.jobs[i]!;
    if (verdict < 0 || keypair.wiped) this.#drops.count("keypair-expired");
    else if (verdict === 0) this.#drops.count("bad-tag");
    else this.#output.opened(batch.owners[i]!, keypair, batch.slots[i]!, batch.lengths[i]!, batch.sources[i]!, now);
  }

  #dropSeal(slot: number, reason: "no-keypair" | "queue-full"): void {
    this.#drops.count(reason);
    this.#cipher.tx.release(slot);
  }
}
