/**
 * DERP framing. Every frame is
 *
 *     type (1 byte) ‖ length (u32 BE, without these 5 bytes) ‖ payload
 *
 * and the byte stream below (TLS, WebSocket messages) is cut anywhere. Unknown types are skipped by both sides.
 */

export const HEADER_BYTES = 5;
export const KEY_BYTES = 32;
/** Largest packet a frame may relay, keys not counted. */
export const MAX_PACKET_BYTES = 64 * 1024;
/** Largest frame payload that is accepted at all. */
export const MAX_FRAME_BYTES = 1 << 20;
/** RecvPacket and SendPacket: header and one key. */
export const PACKET_OVERHEAD_BYTES = HEADER_BYTES + KEY_BYTES;

export const FrameType = {
  /** Server → client, first: magic ‖ server public key. */
  serverKey: 0x01,
  /** Client → server: client public key ‖ nonce ‖ box(JSON). */
  clientInfo: 0x02,
  /** Server → client: nonce ‖ box(JSON). */
  serverInfo: 0x03,
  /** Client → server: destination key ‖ packet. */
  sendPacket: 0x04,
  /** Server → client: source key ‖ packet. */
  recvPacket: 0x05,
  /** Server → client, empty. */
  keepAlive: 0x06,
  /** Client → server, 1 byte: 1 = this server is my home. */
  notePreferred: 0x07,
  /** Server → client: key ‖ reason. */
  peerGone: 0x08,
  /** Server → mesh member: key, perhaps followed by an address. */
  peerPresent: 0x09,
  /** Mesh: source key ‖ destination key ‖ packet. */
  forwardPacket: 0x0a,
  /** Mesh member → server, empty. */
  watchConns: 0x10,
  /** Mesh member → server: key. */
  closePeer: 0x11,
  /** Both directions: 8 opaque bytes. */
  ping: 0x12,
  /** Answer to a ping: the same 8 bytes. */
  pong: 0x13,
  /** Server → client, UTF-8; empty = healthy again. */
  health: 0x14,
  /** Server → client: u32 reconnect in ms ‖ u32 try for ms. */
  restarting: 0x15,
} as const;

export const PeerGoneReason = {
  /** The peer had been connected to this server and left. */
  disconnected: 0x00,
  /** This server does not know the peer. */
  notHere: 0x01,
} as const;

/** What to do with a frame whose header has arrived: none of the payload is buffered before this is decided. */
export type FrameVerdict = "take" | "skip" | "refuse";

export interface FrameSink {
  /** Called once per frame, before any payload is kept. "refuse" stops the decoder permanently. */
  frameHeader(type: number, length: number): FrameVerdict;
  /** `bytes[offset, offset + length)` is the payload; borrowed, valid during the call only. */
  frame(type: number, bytes: Uint8Array, offset: number, length: number): void;
}

/** A reassembly buffer up to this size is kept for the next fragmented frame; larger ones are released. */
const KEPT_BYTES = 4096;
const FIRST_CAPACITY = 1024;
const EMPTY = new Uint8Array(0);

/**
 * Streaming decoder of one connection. Chunks may be cut anywhere. A frame that lies inside a chunk is passed on as a
 * view into it, without allocation; only a fragmented frame is reassembled in a buffer, which grows with the bytes that
 * really arrived, never with the announced length.
 */
export class FrameDecoder {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  #type = 0;
  #length = 0;
  /** Payload bytes of the current frame still to come; -1 while reading a header. */
  #missing = -1;
  #skipping = false;
  #partial = EMPTY;
  #partialBytes = 0;
  #stopped = false;

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Bytes held between chunks. */
  get heldBytes(): number {
    return this.#partial.length;
  }

  /** Passes no further frame on, including those in the chunk being decoded. */
  stop(): void {
    this.#stopped = true;
    this.#partial = EMPTY;
  }

  push(chunk: Uint8Array, sink: FrameSink): void {
    let at = 0;
    const end = chunk.length;
    while (!this.#stopped && (at < end || this.#missing === 0)) {
      if (this.#missing < 0) {
        if (this.#headerBytes === 0 && end - at >= HEADER_BYTES) {
          this.#type = chunk[at]!;
          this.#length = lengthAt(chunk, at + 1);
          at += HEADER_BYTES;
        } else {
          while (this.#headerBytes < HEADER_BYTES && at < end) this.#header[this.#headerBytes++] = chunk[at++]!;
          if (this.#headerBytes < HEADER_BYTES) return;
          this.#headerBytes = 0;
          this.#type = this.#header[0]!;
          this.#length = lengthAt(this.#header, 1);
        }
        const verdict = sink.frameHeader(this.#type, this.#length);
        if (verdict === "refuse") {
          this.stop();
          return;
        }
        if (this.#stopped) return;
        this.#skipping = verdict === "skip";
        this.#missing = this.#length;
        this.#partialBytes = 0;
      }
      if (this.#skipping) {
        const skipped = Math.min(this.#missing, end - at);
        at += skipped;
        this.#missing -= skipped;
        if (this.#missing > 0) return;
        this.#missing = -1;
      } else if (this.#partialBytes === 0 && end - at >= this.#missing) {
        const start = at;
        at += this.#missing;
        this.#missing = -1;
        sink.frame(this.#type, chunk, start, this.#length);
      } else {
        const taken = Math.min(this.#missing, end - at);
        this.#keep(chunk, at, taken);
        at += taken;
        this.#missing -= taken;
        if (this.#missing > 0) return;
        this.#missing = -1;
        const whole = this.#partial;
        if (whole.length > KEPT_BYTES) this.#partial = EMPTY;
        this.#partialBytes = 0;
        sink.frame(this.#type, whole, 0, this.#length);
      }
    }
  }

  #keep(chunk: Uint8Array, at: number, length: number): void {
    const needed = this.#partialBytes + length;
    if (needed > this.#partial.length) {
      const capacity = Math.min(this.#length, Math.max(needed, 2 * this.#partial.length, FIRST_CAPACITY));
      const grown = new Uint8Array(capacity);
      grown.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = grown;
    }
    this.#partial.set(chunk.subarray(at, at + length), this.#partialBytes);
    this.#partialBytes = needed;
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** Writes a frame header at `at`; returns the offset after it. */
export function writeHeader(out: Uint8Array, at: number, type: number, length: number): number {
  out[at] = type;
  out[at + 1] = length >>> 24;
  out[at + 2] = length >>> 16;
  out[at + 3] = length >>> 8;
  out[at + 4] = length;
  return at + HEADER_BYTES;
}

/** A whole frame in an owned buffer. Control frames only: it allocates. */
export function frame(type: number, ...payload: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of payload) length += part.length;
  const out = new Uint8Array(HEADER_BYTES + length);
  let at = writeHeader(out, 0, type, length);
  for (const part of payload) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** An owned copy. Not `slice`, which on the Buffers that sockets deliver is a view. */
export function copyOf(bytes: Uint8Array, offset: number, length: number): Uint8Array {
  return new Uint8Array(bytes.subarray(offset, offset + length));
}

/** Payload length that the frame header at `at` announces. */
export function payloadLengthAt(bytes: Uint8Array, at: number): number {
  return lengthAt(bytes, at + 1);
}

export function peerGoneFrame(key: Uint8Array, reason: number): Uint8Array {
  return frame(FrameType.peerGone, key, Uint8Array.of(reason));
}

export function notePreferredFrame(preferred: boolean): Uint8Array {
  return frame(FrameType.notePreferred, Uint8Array.of(preferred ? 1 : 0));
}

export function restartingFrame(reconnectInMs: number, tryForMs: number): Uint8Array {
  const payload = new Uint8Array(8);
  writeUint32(payload, 0, reconnectInMs);
  writeUint32(payload, 4, tryForMs);
  return frame(FrameType.restarting, payload);
}

export function readUint32(bytes: Uint8Array, at: number): number {
  return lengthAt(bytes, at);
}

function writeUint32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24;
  out[at + 1] = value >>> 16;
  out[at + 2] = value >>> 8;
  out[at + 3] = value;
}
