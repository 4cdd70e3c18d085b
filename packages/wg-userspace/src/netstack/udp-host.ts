import { type DropReason, EngineError } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";
import type { ChecksumFunction, PacketMemory, RandomSource } from "../base/ports.ts";
import type { Icmp } from "./icmp.ts";
import { addressAt, type OwnAddresses } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import { checkPort, ephemeralPort, PortBindings } from "./port-bindings.ts";
import { type UdpHandler, UdpSendQueue, type UdpSendResult, UdpSocket } from "./udp.ts";
import {
  emitFragmentHeader,
  emitIpHeader,
  fragmentHeaderBytes,
  ipHeaderBytes,
  pseudoHeaderSum,
  transportChecksum,
  transportSum,
} from "./wire/ip.ts";
import { type IpPacket, PROTOCOL_UDP } from "./wire/ip-packet.ts";
import { emitUdp, parseUdp, UDP_HEADER_BYTES, UdpHeader } from "./wire/udp.ts";

const MAX_SOCKETS = 16384;
/** Longer datagrams than these carry are refused. */
const MAX_FRAGMENTS = 8;
/** Datagrams that a waiting queue sends before the next one's turn, and before that of the connections. */
const QUANTUM = 8;

/** A datagram to a port without a socket. */
export interface StrayDatagram {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  /** Borrowed. */
  readonly payload: Uint8Array;
}

/** Handles the datagrams of all ports without a socket. */
export interface UdpFallback {
  /** Returns false if it is not handled: the sender then gets ICMP port unreachable. */
  onDatagram(datagram: StrayDatagram): boolean;
  /** An ICMP error answered a datagram that was sent from a port without a socket. */
  onUnreachable?(local: AddrPort, remote: AddrPort): void;
}

/** Where a socket is bound; without an address, to all of the host's. Port 0 picks a free one. */
export interface UdpBinding {
  readonly port: number;
  readonly address?: IpAddress | undefined;
}

/** What UDP uses of the stack. */
export interface UdpStack {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly random: RandomSource;
  readonly own: OwnAddresses;
  readonly icmp: Icmp;
  /** Largest packet that the path to this address carries. */
  pathMtu(remote: AddrPort, now: Instant): number;
}

/** UDP of the stack: sockets by port, the fallback for all other ports, queues, and fragmentation (RFC 791, RFC 8200 §4.5). */
export class UdpHost {
  readonly #stack: UdpStack;
  readonly #sockets = new PortBindings<UdpSocket>((port) => `UDP port ${port} is bound`);
  readonly #header = new UdpHeader();
  /** Queues whose datagrams found no slot, in the order of their turns. */
  readonly #waiting = new Set<UdpSendQueue>();
  #fallback: UdpFallback | undefined;
  #identification: number;

  /** @param identification Of the first fragmented datagram: 32 random bits. */
  constructor(stack: UdpStack, identification: number) {
    this.#stack = stack;
    this.#identification = identification;
  }

  /** Port 0 picks a free one. @throws EngineError ERR_ADDRESS_IN_USE, ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT. */
  bind(options: UdpBinding, handler: UdpHandler): UdpSocket {
    if (this.#sockets.size >= MAX_SOCKETS)
      throw new EngineError("ERR_LIMIT", `already ${this.#sockets.size} UDP sockets`, { retryable: true });
    checkPort(options.port, 0);
    const { address } = options;
    const port = options.port === 0 ? this.#freePort() : options.port;
    this.#sockets.check(port, address);
    const socket = new UdpSocket(
      {
        sendUdp: (local, remote, payload, now) => this.send(local, remote, payload, now),
        ownAddressFor: (remote) => this.#stack.own.towards(remote),
        closeUdp: (closed) => this.#sockets.remove(closed),
      },
      port,
      address,
      handler,
    );
    this.#sockets.add(socket);
    return socket;
  }

  setFallback(fallback: UdpFallback | undefined): void {
    this.#fallback = fallback;
  }

  createQueue(): UdpSendQueue {
    return new UdpSendQueue({
      sendUdp: (local, remote, payload, now) =>
        this.#stack.output.blocked?.(remote.address) === true ? "carrier-full" : this.send(local, remote, payload, now),
      udpWaiting: (queue) => void this.#waiting.add(queue),
    });
  }

  /** Whether a queue waits for slots. */
  get isWaiting(): boolean {
    return this.#waiting.size > 0;
  }

  /** One turn for every waiting queue. Returns false when it stopped for lack of a slot. */
  drain(now: Instant): boolean {
    if (this.#waiting.size === 0) return true;
    for (const queue of Array.from(this.#waiting)) {
      const enough = queue.drain(QUANTUM, now);
      this.#waiting.delete(queue);
      if (queue.length > 0) this.#waiting.add(queue); // to the end: it is the others' turn
      if (!enough) return false;
    }
    return true;
  }

  handle(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    const header = this.#header;
    const reason = parseUdp(memory, packet.payloadOffset, packet.payloadLength, header);
    if (reason !== undefined) return reason;
    if (!header.hasChecksum ? packet.version === 6 : !this.#isSumRight(memory, packet)) return "bad-checksum";
    const { own, icmp } = this.#stack;
    const local = {
      address: own.at(memory, packet.destinationOffset, packet.addressLength),
      port: header.destinationPort,
    };
    const remote = { address: addressAt(memory, packet.sourceOffset, packet.addressLength), port: header.sourcePort };
    const payload = memory.bytes.subarray(header.payloadOffset, header.payloadOffset + header.payloadLength);
    const socket = this.#sockets.find(local.port, local.address);
    if (socket !== undefined) {
      socket.handler.onDatagram(payload, remote, local, now);
      return undefined;
    }
    if (this.#fallback?.onDatagram({ local, remote, payload }) === true) return undefined;
    icmp.sendPortUnreachable(memory, packet, now);
    return "no-socket";
  }

  /** Whether datagrams from this port and address are received by something. */
  isBound(local: AddrPort): boolean {
    return this.#fallback !== undefined || this.#sockets.find(local.port, local.address) !== undefined;
  }

  /** An ICMP error answered a datagram. `isFromRemote`: the destination itself sent the error, not a router on the way. */
  unreachable(local: AddrPort, remote: AddrPort, isFromRemote: boolean): void {
    const socket = this.#sockets.find(local.port, local.address);
    if (socket !== undefined) socket.handler.onUnreachable?.(remote);
    // A fallback serves many peers: none of them may report another one as unreachable.
    else if (isFromRemote) this.#fallback?.onUnreachable?.(local, remote);
  }

  /** Longest payload that {@link send} accepts towards this address now, in fragments. */
  maxPayload(remote: AddrPort, now: Instant): number {
    return MAX_FRAGMENTS * this.#fragmentBytes(remote, now) - UDP_HEADER_BYTES;
  }

  /** Sends at once, whether the port is bound or not; in fragments if one packet does not carry the datagram. */
  send(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult {
    const { output, checksum } = this.#stack;
    const headers = ipHeaderBytes(local.address) + UDP_HEADER_BYTES;
    if (headers + payload.length > this.#stack.pathMtu(remote, now))
      return this.#sendInFragments(local, remote, payload, now);
    const { memory } = output;
    const offset = output.begin();
    if (offset < 0) return "no-slot";
    const length = UDP_HEADER_BYTES + payload.length;
    const header = emitIpHeader(memory, offset, local.address, remote.address, PROTOCOL_UDP, length, checksum);
    emitUdp(memory, offset + header, local.port, remote.port, payload.length);
    memory.bytes.set(payload, offset + headers);
    const sum = transportChecksum(memory, offset, header, PROTOCOL_UDP, length, checksum);
    memory.view.setUint16(offset + header + 6, sum === 0 ? 0xffff : sum);
    output.commit(header + length);
    return "sent";
  }

  #fragmentBytes(remote: AddrPort, now: Instant): number {
    return (this.#stack.pathMtu(remote, now) - fragmentHeaderBytes(remote.address)) & ~7;
  }

  /** "no-slot" if one of them finds none: the caller sends the datagram again, under another identification. */
  #sendInFragments(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult {
    const { output, checksum } = this.#stack;
    const most = this.#fragmentBytes(remote, now);
    const total = UDP_HEADER_BYTES + payload.length;
    if (total > MAX_FRAGMENTS * most) return "too-large";
    const { memory } = output;
    this.#identification = (this.#identification + 1) >>> 0;
    for (let at = 0; at < total; at += most) {
      const offset = output.begin();
      if (offset < 0) return "no-slot";
      const length = Math.min(most, total - at);
      const header = emitFragmentHeader(
        memory,
        offset,
        local.address,
        remote.address,
        PROTOCOL_UDP,
        length,
        this.#identification,
        at,
        at + length < total,
        checksum,
      );
      if (at === 0) {
        emitUdp(memory, offset + header, local.port, remote.port, payload.length);
        const pseudo = pseudoHeaderSum(local.address, remote.address, PROTOCOL_UDP, total, checksum);
        const udp = checksum(memory.bytes, offset + header, UDP_HEADER_BYTES, pseudo);
        const sum = ~checksum(payload, 0, payload.length, udp) & 0xffff;
        memory.view.setUint16(offset + header + 6, sum === 0 ? 0xffff : sum);
        memory.bytes.set(payload.subarray(0, length - UDP_HEADER_BYTES), offset + header + UDP_HEADER_BYTES);
      } else {
        memory.bytes.set(payload.subarray(at - UDP_HEADER_BYTES, at - UDP_HEADER_BYTES + length), offset + header);
      }
      output.commit(header + length);
    }
    return "sent";
  }

  /** Bytes after the UDP length are not part of the datagram. */
  #isSumRight(memory: PacketMemory, packet: IpPacket): boolean {
    packet.payloadLength = UDP_HEADER_BYTES + this.#header.payloadLength;
    return transportSum(memory, packet, this.#stack.checksum) === 0xffff;
  }

  #freePort(): number {
    const port = ephemeralPort(this.#stack.random.uint32(), (taken) => this.#sockets.has(taken));
    if (port === undefined) throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "no free UDP port", { retryable: true });
    return port;
  }
}
