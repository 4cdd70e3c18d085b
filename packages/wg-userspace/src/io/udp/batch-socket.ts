import type { IpAddress } from "../../base/ip.ts";
import { formatIp } from "../../base/ip.ts";
import type { PacketCipher } from "../../base/ports.ts";
import { DISCO_PADDED_BYTES } from "../../disco/message.ts";
import type { UdpPath } from "../../magicsock/path.ts";
import { type FamilySocket, SOCKET_BUFFER_BYTES, type UdpSocketHandler } from "./datagram-socket.ts";
import type { UdpBatch } from "./udp-batch.ts";

/** Datagrams taken from the kernel before the engine's turn. */
const RECEIVE_BATCH = 64;
/** Turns in one wake-up before timers and other sockets get theirs. */
const RECEIVE_TURNS = 4;
/**
 * Datagrams, and their bytes, collected before they are sent without waiting for the end of the turn. So many bytes are four
 * messages of the largest size, whatever the datagrams', and are still in the cache when the kernel copies them.
 */
const SEND_BATCH = 96;
const SEND_BATCH_BYTES = 250_000;
const RECORD_WORDS = 3;
const ADDRESS_BYTES = 20;
/** First byte of a WireGuard data packet; the next three are zero. */
const TRANSPORT = 4;
const TRANSPORT_MIN_BYTES = 32;

/** Binds a socket of the native module: many datagrams per system call. Throws the system's error, as `node:dgram` does. */
export function bindBatchSocket(
  native: UdpBatch,
  family: 4 | 6,
  port: number,
  cipher: PacketCipher,
  handler: UdpSocketHandler,
): FamilySocket {
  return new BatchSocket(native, family, port, cipher, handler);
}

class BatchSocket implements FamilySocket {
  readonly port: number;
  readonly #native: UdpBatch;
  readonly #socket: import("udp-batch").UdpBatchSocket;
  readonly #cipher: PacketCipher;
  readonly #handler: UdpSocketHandler;
  readonly #family: 4 | 6;
  #closed = false;

  readonly #slots = new Int32Array(RECEIVE_BATCH);
  readonly #received = new Int32Array(RECEIVE_BATCH * RECORD_WORDS);
  readonly #sources = new Uint8Array(RECEIVE_BATCH * ADDRESS_BYTES);
  /** An address and its text: mostly, the next datagram comes from there as well. */
  readonly #namedSource = new Uint8Array(ADDRESS_BYTES);
  #namedHost = "";
  #rest = false;

  /** What waits to be sent, in order; one record per TX slot at most. */
  readonly #records: Int32Array;
  readonly #targets: Uint8Array;
  #count = 0;
  #bytes = 0;
  #targetCount = 0;
  #lastTo: UdpPath | undefined;
  /** The kernel is full: everything waits until it has room again. */
  #full = false;

  constructor(native: UdpBatch, family: 4 | 6, port: number, cipher: PacketCipher, handler: UdpSocketHandler) {
    this.#native = native;
    this.#family = family;
    this.#cipher = cipher;
    this.#handler = handler;
    this.#records = new Int32Array(cipher.tx.capacity * RECORD_WORDS);
    this.#targets = new Uint8Array(cipher.tx.capacity * ADDRESS_BYTES);
    this.#socket = native.bind({
      family,
      port,
      bufferBytes: SOCKET_BUFFER_BYTES,
      memory: cipher.memory.bytes.buffer as ArrayBuffer,
      onReadable: () => this.#receive(),
      onWritable: () => this.#drained(),
    });
    this.port = native.port(this.#socket);
  }

  get waiting(): number {
    return this.#full ? this.#count : 0;
  }

  send(to: UdpPath, slot: number, length: number): void {
    if (this.#closed) {
      this.#cipher.tx.release(slot);
      return;
    }
    if (to !== this.#lastTo) {
      writeAddress(this.#targets, this.#targetCount++ * ADDRESS_BYTES, to);
      this.#lastTo = to;
    }
    const at = this.#count++ * RECORD_WORDS;
    this.#records[at] = slot;
    this.#records[at + 1] = length;
    this.#records[at + 2] = this.#targetCount - 1;
    this.#bytes += length;
    if ((this.#count >= SEND_BATCH || this.#bytes >= SEND_BATCH_BYTES) && !this.#full) this.flush();
  }

  flush(): void {
    if (this.#count === 0 || this.#full || this.#closed) return;
    const records = this.#records;
    const done = this.#native.send(this.#socket, records, this.#count, this.#targets);
    this.#bytes = 0;
    for (let i = 0; i < done; i++) this.#cipher.tx.release(records[i * RECORD_WORDS]!);
    if (done === this.#count) {
      this.#count = this.#targetCount = 0;
      this.#lastTo = undefined;
      return;
    }
    records.copyWithin(0, done * RECORD_WORDS, this.#count * RECORD_WORDS);
    this.#count -= done;
    this.#dropUsedTargets();
    this.#full = true;
    this.#native.watchWritable(this.#socket);
  }

  sendProbe(to: UdpPath, packet: Uint8Array, ttl: number | undefined): void {
    if (this.#closed) return;
    const address = new Uint8Array(ADDRESS_BYTES);
    writeAddress(address, 0, to);
    const measures = packet.length > DISCO_PADDED_BYTES;
    this.#native.sendOne(this.#socket, packet, address, ttl ?? 0, measures ? 1 : 0);
  }

  close(): void {
    if (this.#closed) return;
    this.flush();
    this.#closed = true;
    for (let i = 0; i < this.#count; i++) this.#cipher.tx.release(this.#records[i * RECORD_WORDS]!);
    this.#count = 0;
    this.#native.close(this.#socket);
  }

  /** Renumbers the addresses from that of the first record, so that there are never more of them than records. */
  #dropUsedTargets(): void {
    const first = this.#records[2]!;
    if (first === 0) return;
    this.#targets.copyWithin(0, first * ADDRESS_BYTES, this.#targetCount * ADDRESS_BYTES);
    this.#targetCount -= first;
    for (let i = 0; i < this.#count; i++) this.#records[i * RECORD_WORDS + 2]! -= first;
  }

  #drained(): void {
    this.#full = false;
    this.flush();
    if (!this.#full) this.#handler.onDrain();
  }

  #receive(): void {
    for (let turn = 0; turn < RECEIVE_TURNS; turn++) {
      if (this.#closed || !this.#receiveBatch()) return;
    }
    // The rest lies in the module's own memory, for which no wake-up would come.
    if (this.#rest) return;
    this.#rest = true;
    setImmediate(() => {
      this.#rest = false;
      this.#receive();
    });
  }

  /** One batch and the engine's turn for it. @returns whether more is there. */
  #receiveBatch(): boolean {
    const { rx } = this.#cipher;
    let leased = 0;
    while (leased < RECEIVE_BATCH) {
      const slot = rx.lease();
      if (slot < 0) break;
      this.#slots[leased++] = slot;
    }
    const slots = leased === RECEIVE_BATCH ? this.#slots : this.#slots.subarray(0, leased);
    const result = this.#native.receive(this.#socket, slots, rx.stride, this.#received, this.#sources);
    const count = result & (this.#native.MORE - 1);
    let used = 0;
    let index = -1;
    let from: UdpPath | undefined;
    for (let i = 0; i < count; i++) {
      const at = i * RECORD_WORDS;
      const slot = this.#received[at]!;
      if (this.#received[at + 2] !== index) {
        index = this.#received[at + 2]!;
        from = this.#pathAt(index * ADDRESS_BYTES);
      }
      if (slot < 0) this.#handler.onTooLong();
      else {
        used++;
        this.#deliver(from, index * ADDRESS_BYTES, slot, this.#received[at + 1]!);
      }
    }
    while (leased > used) rx.release(this.#slots[--leased]!);
    if (count > 0) this.#handler.onBatchEnd();
    return result >= this.#native.MORE;
  }

  #deliver(from: UdpPath | undefined, source: number, slot: number, length: number): void {
    const { bytes } = this.#cipher.memory;
    if (from !== undefined && length >= TRANSPORT_MIN_BYTES && bytes[slot] === TRANSPORT) {
      this.#handler.onTransport(from, slot, length);
      return;
    }
    // STUN, disco and handshakes are rare, and their receivers keep them, so they are copied.
    const datagram = bytes.slice(slot, slot + length);
    this.#cipher.rx.release(slot);
    this.#handler.onDatagram(this.#hostAt(source), this.#portAt(source), datagram);
  }

  #pathAt(source: number): UdpPath | undefined {
    return this.#handler.pathOf(this.#hostAt(source), this.#portAt(source));
  }

  #hostAt(source: number): string {
    if (this.#namedHost !== "" && this.#isNamed(source)) return this.#namedHost;
    const address = this.#sources.slice(source + 4, source + 4 + (this.#family === 4 ? 4 : 16));
    this.#namedSource.set(this.#sources.subarray(source, source + ADDRESS_BYTES));
    this.#namedHost = formatIp(address as IpAddress);
    return this.#namedHost;
  }

  #isNamed(source: number): boolean {
    for (let i = 0; i < ADDRESS_BYTES; i++) if (this.#sources[source + i] !== this.#namedSource[i]) return false;
    return true;
  }

  #portAt(source: number): number {
    return (this.#sources[source + 2]! << 8) | this.#sources[source + 3]!;
  }
}

function writeAddress(out: Uint8Array, at: number, { address: { address, port } }: UdpPath): void {
  out[at] = address.length === 4 ? 4 : 6;
  out[at + 1] = 0;
  out[at + 2] = port >> 8;
  out[at + 3] = port & 0xff;
  out.set(address, at + 4);
}
