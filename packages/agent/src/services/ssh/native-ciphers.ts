/**
 * AES-GCM and ChaCha20-Poly1305 for SSH packets, with the native module, for ssh2 at both ends of a connection. ssh2's own
 * ciphers make several objects and buffers per packet in node:crypto, and remain in use where the module is absent.
 *
 * A packet is sealed in the buffer in which it was built, and sent as one piece. A packet within one chunk is opened straight
 * into the buffer that its reader gets, and so is each part of a packet that spans several chunks.
 */
import { randomFillSync } from "node:crypto";
import sshCrypto from "ssh2/lib/protocol/crypto.js";
import { loadUdpBatch, type UdpBatch } from "wg-userspace/io/udp/udp-batch";

const LENGTH_BYTES = 4;
const TAG_BYTES = 16;
const MIN_PADDING_BYTES = 4;
/** Largest packet text, as in OpenSSH. */
const MAX_TEXT_BYTES = 256 * 1024;
/** Smaller packets use Node's buffer pool, and are joined with others before they are written. */
const MIN_OWN_BYTES = 4096;
/** Buffers kept for later packets; the memory of others is freed as soon as it is returned. */
const MAX_SPARE = 4;
const RANDOM_BYTES = 4096;

/** Text sizes are multiples of whole blocks (RFC 5647), or of 8 (PROTOCOL.chacha20poly1305). */
const KINDS = {
  "aes-128-gcm": { kind: 0, blockBytes: 16, minTextBytes: 16 },
  "aes-256-gcm": { kind: 1, blockBytes: 16, minTextBytes: 16 },
  chacha20: { kind: 2, blockBytes: 8, minTextBytes: 8 },
} as const;

type Kind = (typeof KINDS)[keyof typeof KINDS];
type Handle = ReturnType<UdpBatch["sshCipher"]>;

/** Makes ssh2 use the native module, if it is present, for every connection of this process. May be called twice. */
export function useNativeCiphers(): void {
  const native = loadUdpBatch();
  if (native?.hasSshCiphers !== true) return;
  sshCrypto.useCiphers({
    createCipher(config) {
      const kind = kindOf(config.cipherInfo.sslName);
      return kind === undefined ? undefined : new PacketSealer(native, kind, config);
    },
    createDecipher(config) {
      const kind = kindOf(config.decipherInfo.sslName);
      return kind === undefined ? undefined : new PacketOpener(native, kind, config);
    },
  });
}

function kindOf(name: string): Kind | undefined {
  return Object.hasOwn(KINDS, name) ? KINDS[name as keyof typeof KINDS] : undefined;
}

/** Gives each packet its own nonce: AES-GCM counts in the derived IV, ChaCha20 uses the packet's number. */
class Nonce {
  readonly bytes: Uint8Array;

  constructor(kind: Kind, iv: Uint8Array, sequence: number) {
    this.bytes = kind.kind === 2 ? new Uint8Array(8) : Uint8Array.from(iv);
    if (kind.kind === 2) writeUint32(this.bytes, 4, sequence);
  }

  /**
   * In an IV, bytes 4 to 11 are the counter of RFC 5647. In a 64-bit sequence number, only bytes 4 to 7 count, so it wraps at 32
   * bits.
   */
  advance(): void {
    const { bytes } = this;
    for (let at = bytes.length - 1; at >= 4; at--) {
      bytes[at] = (bytes[at]! + 1) & 0xff;
      if (bytes[at] !== 0) return;
    }
  }
}

/** The sealing end of one direction, with the members that ssh2 uses. */
class PacketSealer {
  outSeqno: number;
  readonly #native: UdpBatch;
  readonly #handle: Handle;
  readonly #kind: Kind;
  readonly #nonce: Nonce;
  readonly #onWrite: (packet: Buffer, owned: boolean) => void;
  readonly #spare: Buffer[] = [];
  readonly #takeBack = (memory: ArrayBuffer): void => {
    if (this.#spare.length < MAX_SPARE && !this.#dead) this.#spare.push(Buffer.from(memory));
    else memory.transfer(0);
  };
  #dead = false;

  constructor(native: UdpBatch, kind: Kind, config: sshCrypto.Outbound) {
    this.#native = native;
    this.#kind = kind;
    this.outSeqno = config.seqno;
    this.#handle = native.sshCipher(kind.kind, config.cipherKey, 1);
    this.#nonce = new Nonce(kind, config.cipherIV, config.seqno);
    this.#onWrite = config.onWrite;
  }

  free(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#native.sshClose(this.#handle);
  }

  /** A packet with space for the payload after its 5th byte, and for the tag. */
  allocPacket(payloadBytes: number): Buffer {
    const { blockBytes } = this.#kind;
    const unpadded = 1 + payloadBytes;
    let padding = blockBytes - (unpadded % blockBytes);
    if (padding < MIN_PADDING_BYTES) padding += blockBytes;
    const textBytes = unpadded + padding;
    const packet = this.#lease(LENGTH_BYTES + textBytes + TAG_BYTES);
    writeUint32(packet, 0, textBytes);
    packet[4] = padding;
    fillPadding(packet, LENGTH_BYTES + unpadded, padding);
    return packet;
  }

  encrypt(packet: Buffer): void {
    if (this.#dead) return;
    try {
      this.#native.sshSeal(this.#handle, this.#nonce.bytes, packet);
    } catch (error) {
      this.free(); // a later packet sent instead would hide that this one is missing
      throw error;
    }
    this.#nonce.advance();
    this.outSeqno = (this.outSeqno + 1) >>> 0;
    const owned = packet.length >= MIN_OWN_BYTES;
    if (owned) sshCrypto.lend(packet, this.#takeBack);
    this.#onWrite(packet, owned);
  }

  #lease(bytes: number): Buffer {
    if (bytes < MIN_OWN_BYTES) return Buffer.allocUnsafe(bytes);
    const spare = this.#spare.pop();
    if (spare !== undefined && spare.length >= bytes) return spare.subarray(0, bytes);
    (spare?.buffer as ArrayBuffer | undefined)?.transfer(0); // too small for this packet
    return Buffer.allocUnsafeSlow(bytes);
  }
}

/** The opening end of one direction, with the members that ssh2 uses. */
class PacketOpener {
  inSeqno: number;
  /** {@link decrypt} keeps nothing of a chunk. */
  readonly copiesInput = true;
  readonly #native: UdpBatch;
  readonly #handle: Handle;
  readonly #kind: Kind;
  readonly #nonce: Nonce;
  /** ssh2 replaces this during a key exchange. */
  _onPayload: sshCrypto.Inbound["onPayload"];
  /** For a packet that arrives in parts: what there is of its length, text and tag. */
  readonly #header = new Uint8Array(LENGTH_BYTES);
  #headerBytes = 0;
  #text: Buffer | undefined;
  #textBytes = 0;
  readonly #tag = new Uint8Array(TAG_BYTES);
  #tagBytes = 0;
  #next = 0;
  #dead = false;

  constructor(native: UdpBatch, kind: Kind, config: sshCrypto.Inbound) {
    this.#native = native;
    this.#kind = kind;
    this.inSeqno = config.seqno;
    this.#handle = native.sshCipher(kind.kind, config.decipherKey, 0);
    this.#nonce = new Nonce(kind, config.decipherIV, config.seqno);
    this._onPayload = config.onPayload;
  }

  free(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#native.sshClose(this.#handle);
  }

  /**
   * Opens the bytes between `at` and `end`, and passes on each complete packet.
   * @returns Where the owner of the remaining bytes has to continue; undefined when all were taken.
   * @throws When a packet is malformed or not authentic. All bytes after it are taken and dropped.
   */
  decrypt(data: Uint8Array, at: number, end: number): number | undefined {
    let next = at;
    while (next < end && !this.#dead) {
      const text = this.#opened(data, next, end);
      next = this.#next;
      if (text === undefined) continue;
      const result = this._onPayload(sshCrypto.ownedPayload(text));
      if (result !== undefined) return result === false ? next : result;
    }
    return undefined;
  }

  /**
   * The text of the next packet, once it is complete, authentic and well formed. Sets #next to the position after what was read.
   */
  #opened(data: Uint8Array, at: number, end: number): Buffer | undefined {
    try {
      const whole = this.#headerBytes === 0 ? this.#openWhole(data, at, end) : undefined;
      if (whole !== undefined) this.#next = at + LENGTH_BYTES + whole.length + TAG_BYTES;
      else this.#next = this.#takeParts(data, at, end);
      const text = whole ?? this.#finished();
      if (text === undefined) return undefined;
      if (text[0]! < MIN_PADDING_BYTES || text[0]! + 1 > text.length) throw new Error("Bad packet padding");
      this.#nonce.advance();
      this.inSeqno = (this.inSeqno + 1) >>> 0;
      return text;
    } catch (error) {
      this.#text?.fill(0);
      this.#text = undefined;
      this.free();
      throw error;
    }
  }

  /** Undefined when the packet ends in a later chunk. */
  #openWhole(data: Uint8Array, at: number, end: number): Buffer | undefined {
    if (end - at < LENGTH_BYTES) return undefined;
    const textBytes = this.#lengthAt(data, at);
    if (end - at < LENGTH_BYTES + textBytes + TAG_BYTES) return undefined;
    const text = allocate(textBytes);
    if (!this.#native.sshOpen(this.#handle, this.#nonce.bytes, data, at, text)) throw new Error("Invalid MAC");
    return text;
  }

  /** @returns Where the taken part ends. */
  #takeParts(data: Uint8Array, at: number, end: number): number {
    let next = at;
    if (this.#text === undefined) {
      const count = Math.min(LENGTH_BYTES - this.#headerBytes, end - next);
      for (let i = 0; i < count; i++) this.#header[this.#headerBytes++] = data[next++]!;
      if (this.#headerBytes < LENGTH_BYTES) return next;
      this.#text = allocate(this.#lengthAt(this.#header, 0));
      this.#native.sshStart(this.#handle, this.#nonce.bytes, this.#header, 0);
    }
    const count = Math.min(this.#text.length - this.#textBytes, end - next);
    if (count > 0) {
      this.#native.sshContinue(this.#handle, data, next, count, this.#text, this.#textBytes);
      this.#textBytes += count;
      next += count;
    }
    if (this.#textBytes < this.#text.length) return next;
    while (next < end && this.#tagBytes < TAG_BYTES) this.#tag[this.#tagBytes++] = data[next++]!;
    return next;
  }

  /** The text that arrived in parts, once its tag is complete and right. */
  #finished(): Buffer | undefined {
    const text = this.#text;
    if (text === undefined || this.#tagBytes < TAG_BYTES) return undefined;
    if (!this.#native.sshEnd(this.#handle, this.#tag, 0)) throw new Error("Invalid MAC");
    this.#text = undefined;
    this.#headerBytes = this.#textBytes = this.#tagBytes = 0;
    return text;
  }

  #lengthAt(data: Uint8Array, at: number): number {
    const { blockBytes, minTextBytes } = this.#kind;
    const length = this.#native.sshLength(this.#handle, this.#nonce.bytes, data, at);
    if (length < minTextBytes || length > MAX_TEXT_BYTES || length % blockBytes !== 0) {
      throw new Error("Bad packet length");
    }
    return length;
  }
}

/** Gives a large packet memory of its own, so that the reader can return it. */
function allocate(bytes: number): Buffer {
  return bytes < MIN_OWN_BYTES ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes);
}

const random = Buffer.alloc(RANDOM_BYTES);
let randomAt = RANDOM_BYTES;

/** RFC 4253 §6 requires random padding. Each random byte is used once. */
function fillPadding(packet: Uint8Array, at: number, count: number): void {
  if (randomAt + count > RANDOM_BYTES) {
    randomFillSync(random);
    randomAt = 0;
  }
  for (let i = 0; i < count; i++) packet[at + i] = random[randomAt++]!;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
