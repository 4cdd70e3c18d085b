import { addMs, type Instant, instant } from "../../src/base/instant.ts";
import { type IpAddress, ip } from "../../src/base/ip.ts";
import type { PacketMemory } from "../../src/base/ports.ts";
import {
  Netstack,
  type NetstackConfig,
  type PacketOutput,
  type TcpConnection,
  type TcpOptions,
} from "../../src/netstack/stack.ts";
import { scalarChecksum } from "../../src/netstack/wire/checksum.ts";
import { Link, type LinkOptions, LinkRandom } from "../../src/testing/link.ts";

/** Slots in one memory like the engine's: filled with 0xa5, so that unwritten bytes show. */
export class SlotOutput implements PacketOutput {
  readonly memory: PacketMemory;
  readonly #stride: number;
  /** Packets of this turn. */
  readonly packets: Uint8Array[] = [];
  /** Packets accepted per turn. */
  readonly slots: number;
  blocked: (remote: IpAddress) => boolean = () => false;

  constructor(mtu: number, slots = 256) {
    this.#stride = Math.ceil((mtu + 32) / 16) * 16;
    this.slots = slots;
    const bytes = new Uint8Array(this.#stride).fill(0xa5);
    this.memory = { bytes, view: new DataView(bytes.buffer) };
  }
  begin(): number {
    return this.packets.length >= this.slots ? -1 : 16;
  }
  commit(length: number): void {
    this.packets.push(this.memory.bytes.slice(16, 16 + length));
    this.memory.bytes.fill(0xa5, 16, 96);
  }
  take(): Uint8Array[] {
    return this.packets.splice(0);
  }
}

export interface HostOptions {
  readonly mtu?: number;
  readonly slots?: number;
  readonly seed?: number;
  readonly tcp?: NetstackConfig["tcp"];
}

export class Host {
  readonly stack: Netstack;
  readonly output: SlotOutput;
  readonly address: IpAddress;
  /** How often a flush stopped for lack of slots. */
  stalls = 0;

  constructor(address: string, options: HostOptions = {}) {
    const mtu = options.mtu ?? 1280;
    this.address = ip(address);
    this.output = new SlotOutput(mtu, options.slots);
    this.stack = new Netstack({
      addresses: [this.address],
      mtu,
      random: new LinkRandom(options.seed ?? 1),
      output: this.output,
      checksum: scalarChecksum,
      tcp: options.tcp,
    });
  }
}

/** Two hosts and the links between them, in virtual time. */
export class Pair {
  readonly a: Host;
  readonly b: Host;
  readonly ab: Link;
  readonly ba: Link;
  now: Instant = instant(1000);
  /** Called with every packet put on a link. */
  observe: ((from: "a" | "b", packet: Uint8Array, now: Instant) => void) | undefined;

  constructor(
    link: LinkOptions | readonly [ab: LinkOptions | Link, ba: LinkOptions],
    options: HostOptions & { readonly family?: 4 | 6; readonly b?: HostOptions } = {},
  ) {
    const seed = options.seed ?? 1;
    const v4 = options.family === 4;
    this.a = new Host(v4 ? "10.0.0.1" : "fd00::1", { ...options, seed });
    this.b = new Host(v4 ? "10.0.0.2" : "fd00::2", { ...options, seed: seed + 1000, ...options.b });
    const [ab, ba] = Array.isArray(link) ? (link as readonly [LinkOptions | Link, LinkOptions]) : [link, link];
    this.ab = ab instanceof Link ? ab : new Link(ab as LinkOptions, seed + 1);
    this.ba = new Link(ba as LinkOptions, seed + 2);
  }

  /** Flushes both hosts onto the links. */
  flush(): void {
    this.#drain(this.a, this.ab, "a");
    this.#drain(this.b, this.ba, "b");
  }

  #drain(host: Host, link: Link, name: "a" | "b"): void {
    for (;;) {
      const more = host.stack.flush(this.now);
      const packets = host.output.take();
      for (const packet of packets) {
        this.observe?.(name, packet, this.now);
        link.send(packet, this.now);
      }
      if (!more) return;
      host.stalls++;
    }
  }

  /** Time of the next event; Infinity when there is none. */
  nextEvent(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const at of [
      this.ab.nextTimeout(),
      this.ba.nextTimeout(),
      this.a.stack.nextTimeout(),
      this.b.stack.nextTimeout(),
    ])
      if (at !== undefined && at < next) next = at;
    return next;
  }

  /** Jumps to the next event. @returns false when there is none until then. */
  step(until = Number.POSITIVE_INFINITY): boolean {
    const next = this.nextEvent();
    if (next > until) return false;
    if (next > this.now) this.now = instant(next);
    this.#receive(this.ab, this.b);
    this.#receive(this.ba, this.a);
    this.a.stack.handleTimeout(this.now);
    this.b.stack.handleTimeout(this.now);
    this.flush();
    return true;
  }

  #receive(link: Link, host: Host): void {
    for (;;) {
      const packet = link.receive(this.now);
      if (packet === undefined) return;
      host.stack.handlePacket(memoryOf(packet), 0, packet.length, this.now);
    }
  }

  /** Runs until the condition holds. @returns whether it did before the time was over. */
  runUntil(condition: () => boolean, limitMs: number): boolean {
    const until = addMs(this.now, limitMs);
    this.flush();
    while (!condition()) {
      if (!this.step(until)) {
        if (condition()) return true;
        this.now = until;
        return condition();
      }
    }
    return true;
  }

  runFor(ms: number): void {
    this.runUntil(() => false, ms);
  }

  /** Opens a connection from a to b and runs until both ends are connected. */
  connect(options: { a?: TcpOptions; b?: TcpOptions; port?: number } = {}): [a: TcpConnection, b: TcpConnection] {
    const port = options.port ?? 80;
    let accepted: TcpConnection | undefined;
    const listener = this.b.stack.listenTcp(
      { port },
      {
        onRequest: (request) => {
          accepted = request.accept(options.b ?? {}, this.now);
        },
      },
    );
    const client = this.a.stack.connectTcp({ address: this.b.address, port }, options.a ?? {}, this.now);
    const done = this.runUntil(
      () => client.state === "ESTABLISHED" && accepted !== undefined && accepted.state === "ESTABLISHED",
      60_000,
    );
    listener.close();
    if (!done || accepted === undefined) throw new Error(`not connected: ${client.state}, ${accepted?.state}`);
    return [client, accepted];
  }
}

export function memoryOf(bytes: Uint8Array): PacketMemory {
  return { bytes, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
}

/** A prime: no piece of a stream looks like the one a power of two before or after it. */
const PATTERN_PERIOD = 65_521;
/** Any piece of at most this length lies in one run of the table. */
const PIECE_BYTES = 65_536;
const PATTERN = Buffer.alloc(PATTERN_PERIOD + PIECE_BYTES);
for (let i = 0; i < PATTERN.length; i++) PATTERN[i] = Math.imul((i % PATTERN_PERIOD) + 1, 0x9e3779b1) >>> 24;

/** Byte i of a test stream; different seeds differ. */
export function patternByte(index: number, seed: number): number {
  return PATTERN[(index + seed) % PATTERN_PERIOD]!;
}

/** Writes a pattern of `total` bytes (then ends, if wanted) as fast as the connection takes it. */
export class PatternSource {
  written = 0;
  readonly #connection: TcpConnection;
  readonly #total: number;
  readonly #seed: number;
  readonly #end: boolean;

  constructor(connection: TcpConnection, total: number, seed: number, end = true) {
    this.#connection = connection;
    this.#total = total;
    this.#seed = seed;
    this.#end = end;
    connection.handler.onWritable = () => this.pump();
    this.pump();
  }

  pump(): void {
    while (this.written < this.#total) {
      const wanted = Math.min(PIECE_BYTES, this.#total - this.written);
      const room = Math.min(wanted, Math.max(this.#connection.writableLength, 1));
      const from = (this.written + this.#seed) % PATTERN_PERIOD;
      const taken = this.#connection.write(PATTERN.subarray(from, from + room));
      this.written += taken;
      if (taken < wanted) {
        if (taken === room && room < wanted) continue;
        return;
      }
    }
    if (this.#end) this.#connection.end();
  }
}

/** Reads everything at once and compares it with the pattern. */
export class PatternSink {
  received = 0;
  /** Index of the first wrong byte, or -1. */
  wrongAt = -1;
  ended = false;
  closed = false;
  error: string | undefined;
  readonly #connection: TcpConnection;
  readonly #seed: number;

  constructor(connection: TcpConnection, seed: number) {
    this.#connection = connection;
    this.#seed = seed;
    connection.handler.onReadable = () => this.drain();
    connection.handler.onEnd = () => {
      this.ended = true;
    };
    connection.handler.onClosed = (error) => {
      this.closed = true;
      this.error = error?.code;
    };
  }

  drain(limit = Number.POSITIVE_INFINITY): void {
    while (this.received < limit) {
      const chunk = this.#connection.read();
      if (chunk === undefined) return;
      if (this.wrongAt < 0) this.#compare(chunk);
      this.received += chunk.length;
    }
  }

  #compare(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      const piece = chunk.subarray(at, at + PIECE_BYTES);
      const from = (this.received + at + this.#seed) % PATTERN_PERIOD;
      if (PATTERN.compare(piece, 0, piece.length, from, from + piece.length) === 0) continue;
      const wrong = piece.findIndex((byte, i) => byte !== PATTERN[from + i]);
      this.wrongAt = this.received + at + wrong;
      return;
    }
  }
}
