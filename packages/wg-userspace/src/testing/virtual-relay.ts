/** A DerpRelay and DerpClients joined in memory on virtual time, for tests and simulated networks. */
import { hexEncode } from "../base/bytes.ts";
import { addMs, earliest, type Instant, instant } from "../base/instant.ts";
import type { CryptoSuite, RandomSource } from "../base/ports.ts";
import { DerpClient, type DerpClientOptions, type DerpCloseReason } from "../derp/client.ts";
import { copyOf, FrameDecoder } from "../derp/frame.ts";
import { DerpRelay } from "../derp/relay.ts";
import type { ConnectionId, RelayCloseReason, RelayOptions } from "../derp/relay-types.ts";

const CHUNK_BYTES = 64 * 1024;

export class VirtualRelay {
  readonly relay: DerpRelay;
  now: Instant = instant(1_000);
  readonly #crypto: CryptoSuite;
  readonly #random: RandomSource;
  readonly #lines = new Map<ConnectionId, VirtualLine>();
  readonly #withOutput = new Set<ConnectionId>();
  #nextId = 1;

  constructor(crypto: CryptoSuite, random: RandomSource, options: Partial<RelayOptions> = {}) {
    this.#crypto = crypto;
    this.#random = random;
    const privateKey = options.privateKey ?? random.bytes(32);
    this.relay = new DerpRelay({ crypto, random, ...options, privateKey, publicKey: crypto.publicKey(privateKey) });
  }

  /** A client that has queued its greeting; call `pump` to let it connect. */
  connect(privateKey: Uint8Array, options: Partial<DerpClientOptions> = {}): VirtualClient {
    const client = new VirtualClient(this.#nextId++, this.#crypto, this.#random, privateKey, options, this.now);
    this.#open(client);
    return client;
  }

  /** A connection that speaks whatever the test writes. */
  connectRaw(): RawLine {
    const line = new RawLine(this.#nextId++);
    this.#open(line);
    return line;
  }

  /** The transport of a connection breaks. */
  disconnect(line: VirtualLine): void {
    line.open = false;
    this.#lines.delete(line.id);
    this.relay.connectionClosed(line.id, this.now);
    this.pump();
  }

  /** Moves bytes both ways until nothing moves. Lines with `reading` off get nothing. */
  pump(): void {
    for (let moved = true; moved; ) {
      moved = false;
      for (const line of [...this.#lines.values()]) {
        const chunk = line.toRelay();
        if (chunk === undefined) continue;
        moved = true;
        this.relay.handleBytes(line.id, chunk, this.now);
      }
      for (let closed = this.relay.pollClosed(); closed !== undefined; closed = this.relay.pollClosed()) {
        const line = this.#lines.get(closed.id);
        if (line === undefined) continue;
        line.open = false;
        line.refusal = closed.reason;
        this.#lines.delete(closed.id);
      }
      for (let id = this.relay.pollOutput(); id !== undefined; id = this.relay.pollOutput()) this.#withOutput.add(id);
      for (const id of [...this.#withOutput]) {
        const line = this.#lines.get(id);
        if (line !== undefined && !line.reading) continue;
        const chunk = this.relay.takeOutput(id, CHUNK_BYTES);
        if (chunk === undefined) this.#withOutput.delete(id);
        else {
          moved = true;
          line?.fromRelay(chunk, this.now);
        }
      }
    }
  }

  /** Lets time pass, from deadline to deadline. */
  advance(ms: number): void {
    const end = addMs(this.now, ms);
    for (;;) {
      let next = this.relay.nextTimeout();
      for (const line of this.#lines.values()) next = earliest(next, line.nextTimeout());
      if (next === undefined || next > end) break;
      if (next > this.now) this.now = next;
      this.relay.handleTimeout(this.now);
      for (const line of this.#lines.values()) line.handleTimeout(this.now);
      this.pump();
    }
    this.now = end;
    this.pump();
  }

  #open(line: VirtualLine): void {
    this.#lines.set(line.id, line);
    this.relay.addConnection(line.id, this.now);
  }
}

export abstract class VirtualLine {
  readonly id: ConnectionId;
  /** Set to false, the other side has stopped reading, and the relay's output waits. */
  reading = true;
  open = true;
  /** Why the relay closed it. */
  refusal: RelayCloseReason | undefined;

  constructor(id: ConnectionId) {
    this.id = id;
  }

  abstract toRelay(): Uint8Array | undefined;
  abstract fromRelay(chunk: Uint8Array, now: Instant): void;
  abstract nextTimeout(): Instant | undefined;
  abstract handleTimeout(now: Instant): void;
}

export interface ReceivedPacket {
  /** Hexadecimal. */
  readonly source: string;
  readonly bytes: Uint8Array;
}

export class VirtualClient extends VirtualLine {
  readonly client: DerpClient;
  readonly publicKey: Uint8Array;
  readonly received: ReceivedPacket[] = [];
  readonly gone: { readonly key: string; readonly reason: number }[] = [];
  readonly present: string[] = [];
  readonly health: string[] = [];
  readonly pongsMs: number[] = [];
  readonly restarting: (readonly [number, number])[] = [];
  ready = false;
  closed: DerpCloseReason | undefined;

  constructor(
    id: ConnectionId,
    crypto: CryptoSuite,
    random: RandomSource,
    privateKey: Uint8Array,
    options: Partial<DerpClientOptions>,
    now: Instant,
  ) {
    super(id);
    this.publicKey = crypto.publicKey(privateKey);
    this.client = new DerpClient(
      {
        privateKey,
        publicKey: this.publicKey,
        crypto,
        random,
        handler: {
          onReady: () => {
            this.ready = true;
          },
          onPacket: (source, bytes, offset, length) => {
            this.received.push({ source: hexEncode(source), bytes: copyOf(bytes, offset, length) });
          },
          onPeerGone: (key, reason) => this.gone.push({ key: hexEncode(key), reason }),
          onPeerPresent: (key) => this.present.push(hexEncode(key)),
          onHealth: (text) => this.health.push(text),
          onRestarting: (reconnectInMs, tryForMs) => this.restarting.push([reconnectInMs, tryForMs]),
          onPong: (rttMs) => this.pongsMs.push(rttMs),
          onClosed: (reason) => {
            this.closed = reason;
          },
        },
        ...options,
      },
      now,
    );
  }

  send(to: Uint8Array, bytes: Uint8Array, now: Instant): boolean {
    return this.client.sendPacket(to, bytes, 0, bytes.length, now);
  }

  override toRelay(): Uint8Array | undefined {
    return this.client.takeOutput();
  }
  override fromRelay(chunk: Uint8Array, now: Instant): void {
    this.client.handleBytes(chunk, now);
  }
  override nextTimeout(): Instant | undefined {
    return this.client.nextTimeout();
  }
  override handleTimeout(now: Instant): void {
    this.client.handleTimeout(now);
  }
}

export class RawLine extends VirtualLine {
  readonly frames: { readonly type: number; readonly payload: Uint8Array }[] = [];
  readonly #decoder = new FrameDecoder();
  readonly #queued: Uint8Array[] = [];

  write(bytes: Uint8Array): void {
    this.#queued.push(bytes);
  }

  /** Types of the frames that arrived. */
  get types(): number[] {
    return this.frames.map((received) => received.type);
  }

  override toRelay(): Uint8Array | undefined {
    return this.#queued.shift();
  }
  override fromRelay(chunk: Uint8Array): void {
    this.#decoder.push(chunk, {
      frameHeader: () => "take",
      frame: (type, bytes, offset, length) => this.frames.push({ type, payload: copyOf(bytes, offset, length) }),
    });
  }
  override nextTimeout(): undefined {
    return undefined;
  }
  override handleTimeout(): void {
    // Nothing waits.
  }
}
