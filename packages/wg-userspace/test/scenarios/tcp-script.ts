import { addMs, type Instant, instant } from "../../src/base/instant.ts";
import { type IpAddress, ip } from "../../src/base/ip.ts";
import type { Netstack, NetstackConfig, TcpConnection, TcpOptions, TcpRequest } from "../../src/netstack/stack.ts";
import { scalarChecksum } from "../../src/netstack/wire/checksum.ts";
import { emitIpHeader, parseIpPacket, transportChecksum, transportSum } from "../../src/netstack/wire/ip.ts";
import { IpPacket, PROTOCOL_TCP } from "../../src/netstack/wire/ip-packet.ts";
import {
  ACK,
  emitSynOptions,
  emitTcp,
  emitTimestamps,
  FIN,
  PSH,
  parseTcp,
  RST,
  SYN,
  TcpSegment,
} from "../../src/netstack/wire/tcp.ts";
import { Host, type HostOptions, memoryOf } from "./tcp-harness.ts";

/** A segment as the script writes it. Numbers are relative to the initial sequence numbers: SYN is 0. */
export interface Sent {
  readonly flags: string;
  /** The stack's own sequence number. */
  readonly seq: number;
  /** The peer's. -1 without ACK. */
  readonly ack: number;
  readonly window: number;
  readonly length: number;
  readonly payload: string;
  readonly mss: number;
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly timestamps: readonly [value: number, echo: number] | undefined;
  /** Relative to the peer's initial sequence number. */
  readonly sack: readonly (readonly [number, number])[];
  readonly at: number;
}

/** What the scripted peer sends: fields left out have the values of a well-behaved peer. */
export interface Step {
  readonly flags?: string;
  readonly seq?: number;
  readonly ack?: number;
  readonly window?: number;
  readonly payload?: string;
  readonly mss?: number;
  readonly windowScale?: number;
  readonly sackPermitted?: boolean;
  /** Value and echo; default: value grows with time when negotiated. `null`: none. */
  readonly timestamps?: readonly [value: number, echo: number] | null | undefined;
  readonly sack?: readonly (readonly [number, number])[];
}

export interface ScriptOptions extends HostOptions {
  /** What the peer's SYN or SYN-ACK offers. */
  readonly peer?: Pick<Step, "mss" | "windowScale" | "sackPermitted" | "window"> & { readonly timestamps?: boolean };
  readonly options?: TcpOptions;
  /** How long the peer takes to answer our SYN. */
  readonly rttMs?: number;
}

const PEER_ISS = 0xfffffff0; // near the wrap, so that every script crosses it
const FLAG_BITS: Readonly<Record<string, number>> = { F: FIN, S: SYN, R: RST, P: PSH, A: ACK };

/** One stack against a peer made of scripted segments. */
export class Script {
  readonly host: Host;
  readonly stack: Netstack;
  readonly peerAddress: IpAddress = ip("fd00::99");
  readonly peerPort = 40000;
  connection!: TcpConnection;
  now: Instant = instant(100_000);
  readonly events: string[] = [];
  received = "";
  localPort = 80;
  /** The stack's initial sequence number, once seen. */
  iss = 0;
  /** What the peer acknowledges and sends by default. */
  peerNext = 0;
  peerAck = 0;
  #issSeen = false;
  readonly #peer: NonNullable<ScriptOptions["peer"]>;
  readonly #timestamps: boolean;
  #lastTsValue = 0;
  readonly #options: TcpOptions;

  constructor(options: ScriptOptions = {}) {
    this.host = new Host("fd00::1", options);
    this.stack = this.host.stack;
    this.#peer = options.peer ?? {};
    this.#timestamps = options.peer?.timestamps ?? true;
    this.#options = options.options ?? {};
  }

  /** Opens from the stack's side and completes the handshake. */
  static connected(options: ScriptOptions = {}): Script {
    const script = new Script(options);
    script.connect();
    script.now = addMs(script.now, options.rttMs ?? 0);
    script.send({ flags: "SA", ...script.offer() });
    script.out();
    return script;
  }

  /** The peer opens; the stack accepts. */
  static accepted(options: ScriptOptions = {}): Script {
    const script = new Script(options);
    script.listen();
    script.send({ flags: "S", ...script.offer() });
    script.out();
    script.send({});
    script.out();
    return script;
  }

  offer(): Step {
    const { mss = 1220, windowScale = 7, sackPermitted = true, window = 65535 } = this.#peer;
    return { mss, windowScale, sackPermitted, window, timestamps: this.#timestamps ? undefined : null };
  }

  connect(): Sent[] {
    const remote = { address: this.peerAddress, port: this.peerPort };
    this.#adopt(this.stack.connectTcp(remote, this.#options, this.now));
    this.localPort = this.connection.local.port;
    return this.out();
  }

  listen(decide: (request: TcpRequest) => void = (request) => this.accept(request)): void {
    this.stack.listenTcp({ port: this.localPort }, { onRequest: decide });
  }

  accept(request: TcpRequest): void {
    const connection = request.accept(this.#options, this.now);
    if (connection === undefined) throw new Error("not accepted");
    this.#adopt(connection);
  }

  #adopt(connection: TcpConnection): void {
    this.connection = connection;
    connection.handler = {
      onConnected: () => void this.events.push("connected"),
      onReadable: () => {
        this.events.push("readable");
        for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read())
          this.received += String.fromCharCode(...chunk);
      },
      onWritable: () => void this.events.push("writable"),
      onEnd: () => void this.events.push("end"),
      onClosed: (error) => void this.events.push(error === undefined ? "closed" : `closed ${error.code}`),
    };
  }

  /** The peer sends one segment. */
  send(step: Step): void {
    const flags = [...(step.flags ?? "A")].reduce((bits, letter) => bits | FLAG_BITS[letter]!, 0);
    const payload = Uint8Array.from(step.payload ?? "", (c) => c.charCodeAt(0));
    const bytes = new Uint8Array(2000);
    const memory = memoryOf(bytes);
    const seq = step.seq ?? this.peerNext;
    let header = 20;
    const timestamps =
      step.timestamps === null || !this.#timestamps || (flags & RST) !== 0
        ? undefined
        : (step.timestamps ?? ([Math.floor(this.now), this.#lastTsValue] as const));
    if ((flags & SYN) !== 0) {
      header += emitSynOptions(memory, 40 + header, {
        mss: step.mss ?? 1220,
        windowScale: step.windowScale === -1 ? undefined : step.windowScale,
        sackPermitted: step.sackPermitted ?? true,
        timestamps,
      });
    } else {
      if (timestamps !== undefined) {
        emitTimestamps(memory, 40 + header, timestamps[0], timestamps[1]);
        header += 12;
      }
      const sack = step.sack ?? [];
      if (sack.length > 0) {
        memory.view.setUint32(40 + header, 0x01010500 | (2 + 8 * sack.length));
        header += 4;
        for (const [left, right] of sack) {
          memory.view.setUint32(40 + header, (this.iss + left) >>> 0);
          memory.view.setUint32(44 + header, (this.iss + right) >>> 0);
          header += 8;
        }
      }
    }
    const ack = (flags & ACK) === 0 ? 0 : (this.iss + (step.ack ?? this.peerAck)) >>> 0;
    const ports = this.peerPort * 65536 + this.localPort;
    emitTcp(memory, 40, ports, (PEER_ISS + seq) >>> 0, ack, header, flags, step.window ?? 65535);
    bytes.set(payload, 40 + header);
    const length = header + payload.length;
    emitIpHeader(memory, 0, this.peerAddress, this.host.address, PROTOCOL_TCP, length, scalarChecksum);
    memory.view.setUint16(56, transportChecksum(memory, 0, 40, PROTOCOL_TCP, length, scalarChecksum));
    const consumed = payload.length + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    if ((flags & RST) === 0 && seq === this.peerNext) this.peerNext += consumed;
    this.stack.handlePacket(memory, 0, 40 + length, this.now);
  }

  /**
   * Flushes and returns everything that the stack sent, with checksums verified. Fails on packets that are not TCP to
   * the peer.
   */
  out(): Sent[] {
    const sent: Sent[] = [];
    for (let more = true; more; ) {
      more = this.stack.flush(this.now);
      for (const packet of this.host.output.take()) sent.push(this.#parse(packet));
    }
    return sent;
  }

  #parse(bytes: Uint8Array): Sent {
    const memory = memoryOf(bytes);
    const packet = new IpPacket();
    if (parseIpPacket(memory, 0, bytes.length, scalarChecksum, packet) !== undefined) throw new Error("no IP packet");
    if (packet.protocol !== PROTOCOL_TCP || transportSum(memory, packet, scalarChecksum) !== 0xffff)
      throw new Error("no TCP segment with a right checksum");
    const segment = new TcpSegment();
    const reason = parseTcp(memory, packet.payloadOffset, packet.payloadLength, segment);
    if (reason !== undefined) throw new Error(`TCP segment is ${reason}`);
    if ((segment.flags & SYN) !== 0 && !this.#issSeen) {
      this.iss = segment.seq;
      this.#issSeen = true;
    }
    const relative = (value: number, base: number) => (value - base) | 0;
    const seq = relative(segment.seq, this.iss);
    const consumed =
      segment.payloadLength + ((segment.flags & SYN) !== 0 ? 1 : 0) + ((segment.flags & FIN) !== 0 ? 1 : 0);
    if (seq === this.peerAck) this.peerAck += consumed;
    if (segment.hasTimestamps) this.#lastTsValue = segment.tsValue;
    const { payloadOffset, payloadLength } = segment;
    return {
      flags: "SFRPA".replace(/./g, (letter) => ((segment.flags & FLAG_BITS[letter]!) !== 0 ? letter : "")),
      seq,
      ack: (segment.flags & ACK) !== 0 ? relative(segment.ack, PEER_ISS) : -1,
      window: segment.window,
      length: segment.payloadLength,
      payload: String.fromCharCode(...bytes.subarray(payloadOffset, payloadOffset + payloadLength)),
      mss: segment.mss,
      windowScale: segment.windowScale,
      sackPermitted: segment.sackPermitted,
      timestamps: segment.hasTimestamps ? [segment.tsValue, segment.tsEcho] : undefined,
      sack: Array.from({ length: segment.sackCount }, (_, i) => [
        relative(segment.sackEdges[2 * i]!, PEER_ISS),
        relative(segment.sackEdges[2 * i + 1]!, PEER_ISS),
      ]),
      at: this.now,
    };
  }

  /** Lets time pass, handling every timer at its time; returns the segments sent in the meantime. */
  wait(ms: number): Sent[] {
    const until = addMs(this.now, ms);
    const sent: Sent[] = this.out();
    for (;;) {
      const next = this.stack.nextTimeout();
      if (next === undefined || next > until) break;
      if (next > this.now) this.now = next;
      this.stack.handleTimeout(this.now);
      sent.push(...this.out());
    }
    this.now = until;
    return sent;
  }

  write(text: string): number {
    return this.connection.write(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }
}

/** The stack's defaults with some replaced. */
export function tcp(overrides: NonNullable<NetstackConfig["tcp"]>): { tcp: NonNullable<NetstackConfig["tcp"]> } {
  return { tcp: overrides };
}
