import type { DropReason } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../base/ports.ts";
import { TokenBucket } from "../base/token-bucket.ts";
import { addressAt } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import type { Pinger } from "./pinger.ts";
import {
  ICMP_HEADER_BYTES,
  ICMPV4_ECHO_REPLY,
  ICMPV4_ECHO_REQUEST,
  ICMPV4_FRAGMENTATION_NEEDED,
  ICMPV4_PORT_UNREACHABLE,
  ICMPV4_UNREACHABLE,
} from "./wire/icmpv4.ts";
import {
  ICMPV6_ECHO_REPLY,
  ICMPV6_ECHO_REQUEST,
  ICMPV6_PACKET_TOO_BIG,
  ICMPV6_PORT_UNREACHABLE,
  ICMPV6_UNREACHABLE,
} from "./wire/icmpv6.ts";
import { emitIpHeader, ipHeaderBytes, transportChecksum, transportSum } from "./wire/ip.ts";
import { type IpPacket, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_UDP } from "./wire/ip-packet.ts";
import { IPV4_HEADER_BYTES, IPV4_MINIMUM_MTU } from "./wire/ipv4.ts";
import { IPV6_HEADER_BYTES, IPV6_MINIMUM_MTU } from "./wire/ipv6.ts";
import { emitUdp, UDP_HEADER_BYTES } from "./wire/udp.ts";

/** RFC 4443 §2.4 (f): errors must be limited. */
const ERRORS_PER_SECOND = 100;
const ERROR_BURST = 50;
/** RFC 1812 §4.3.2.3 and RFC 4443 §3.1: no error is larger than what every path carries. */
const MAX_ERROR_IPV4 = 576;
const MAX_ERROR_IPV6 = 1280;

/** An error about a packet that we seem to have sent. Offsets point into the received memory. */
export interface IcmpError {
  readonly kind: "unreachable" | "too-big";
  readonly portUnreachable: boolean;
  /** MTU of the smallest link; only for too-big. */
  readonly mtu: number;
  readonly protocol: number;
  /** Sender of the error. */
  readonly sourceOffset: number;
  readonly localOffset: number;
  readonly remoteOffset: number;
  readonly addressLength: number;
  /** Length of the quoted transport header, at least 8 bytes. */
  readonly transportOffset: number;
}

export interface IcmpHost {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly mtu: number;
  readonly pinger: Pinger;
  onIcmpError(memory: PacketMemory, error: IcmpError, now: Instant): void;
}

/** ICMP for both families: answers echo requests, locates the subject of errors, writes errors and echo requests. */
export class Icmp {
  readonly #host: IcmpHost;
  readonly #errors = new TokenBucket(ERRORS_PER_SECOND, ERROR_BURST);
  readonly #identifier: number;
  #sequence = 0;

  /** @param identifier Of our echo requests: 16 random bits. */
  constructor(host: IcmpHost, identifier: number) {
    this.#host = host;
    this.#identifier = identifier & 0xffff;
  }

  handle(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (packet.payloadLength < ICMP_HEADER_BYTES) return "too-short";
    const { checksum } = this.#host;
    const v6 = packet.version === 6;
    const sum = v6
      ? transportSum(memory, packet, checksum)
      : checksum(memory.bytes, packet.payloadOffset, packet.payloadLength, 0);
    if (sum !== 0xffff) return "bad-checksum";
    const type = memory.bytes[packet.payloadOffset]!;
    if (v6) {
      if (type === ICMPV6_ECHO_REQUEST) return this.#answerEcho(memory, packet);
      if (type === ICMPV6_ECHO_REPLY) return this.#takeReply(memory, packet, now);
      if (type === ICMPV6_PACKET_TOO_BIG || type === ICMPV6_UNREACHABLE) return this.#takeError(memory, packet, now);
    } else {
      if (type === ICMPV4_ECHO_REQUEST) return this.#answerEcho(memory, packet);
      if (type === ICMPV4_ECHO_REPLY) return this.#takeReply(memory, packet, now);
      if (type === ICMPV4_UNREACHABLE) return this.#takeError(memory, packet, now);
    }
    return "unknown-type";
  }

  /** @param data 8 bytes that the reply repeats. @returns false when there is no slot. */
  sendEchoRequest(source: IpAddress, destination: IpAddress, data: Uint8Array): boolean {
    const { memory } = this.#host.output;
    const offset = this.#host.output.begin();
    if (offset < 0) return false;
    const v6 = source.length === 16;
    const message = offset + ipHeaderBytes(source);
    memory.view.setUint32(message, (v6 ? ICMPV6_ECHO_REQUEST : ICMPV4_ECHO_REQUEST) * 0x1000000);
    this.#sequence = (this.#sequence + 1) & 0xffff;
    memory.view.setUint32(message + 4, this.#identifier * 0x10000 + this.#sequence);
    memory.bytes.set(data, message + ICMP_HEADER_BYTES);
    this.#finish(offset, source, destination, ICMP_HEADER_BYTES + data.length);
    return true;
  }

  /** Reports an unreachable port to the source. Silently limited. */
  sendPortUnreachable(memory: PacketMemory, packet: IpPacket, now: Instant): void {
    if (!this.#errors.take(now)) return;
    const { output } = this.#host;
    const offset = output.begin();
    if (offset < 0) return;
    const v6 = packet.version === 6;
    const source = addressAt(memory, packet.destinationOffset, packet.addressLength);
    const destination = addressAt(memory, packet.sourceOffset, packet.addressLength);
    const headers = ipHeaderBytes(source) + ICMP_HEADER_BYTES;
    const whole = packet.payloadOffset + packet.payloadLength - packet.headerOffset;
    const limit = Math.min(v6 ? MAX_ERROR_IPV6 : MAX_ERROR_IPV4, this.#host.mtu);
    const quoted = Math.min(whole, limit - headers);
    const message = offset + ipHeaderBytes(source);
    const [type, code] = v6
      ? [ICMPV6_UNREACHABLE, ICMPV6_PORT_UNREACHABLE]
      : [ICMPV4_UNREACHABLE, ICMPV4_PORT_UNREACHABLE];
    output.memory.view.setUint32(message, (type << 24) | (code << 16));
    output.memory.view.setUint32(message + 4, 0);
    output.memory.bytes.set(
      memory.bytes.subarray(packet.headerOffset, packet.headerOffset + quoted),
      message + ICMP_HEADER_BYTES,
    );
    this.#finish(offset, source, destination, ICMP_HEADER_BYTES + quoted);
  }

  /**
   * Like {@link sendPortUnreachable}, but for a datagram that is no longer held: quotes the headers it had (RFC 792;
   * RFC 4443 §3.1).
   */
  sendUdpPortUnreachable(local: AddrPort, remote: AddrPort, payloadLength: number, now: Instant): void {
    if (!this.#errors.take(now)) return;
    const { output, checksum } = this.#host;
    const offset = output.begin();
    if (offset < 0) return;
    const { memory } = output;
    const v6 = local.address.length === 16;
    const message = offset + ipHeaderBytes(local.address);
    const [type, code] = v6
      ? [ICMPV6_UNREACHABLE, ICMPV6_PORT_UNREACHABLE]
      : [ICMPV4_UNREACHABLE, ICMPV4_PORT_UNREACHABLE];
    memory.view.setUint32(message, (type << 24) | (code << 16));
    memory.view.setUint32(message + 4, 0);
    const quote = message + ICMP_HEADER_BYTES;
    const length = UDP_HEADER_BYTES + payloadLength;
    const header = emitIpHeader(memory, quote, remote.address, local.address, PROTOCOL_UDP, length, checksum);
    emitUdp(memory, quote + header, remote.port, local.port, payloadLength);
    this.#finish(offset, local.address, remote.address, ICMP_HEADER_BYTES + header + UDP_HEADER_BYTES);
  }

  #answerEcho(memory: PacketMemory, packet: IpPacket): DropReason | undefined {
    const { output, mtu } = this.#host;
    const source = addressAt(memory, packet.destinationOffset, packet.addressLength);
    const destination = addressAt(memory, packet.sourceOffset, packet.addressLength);
    if (ipHeaderBytes(source) + packet.payloadLength > mtu) return "too-long";
    const offset = output.begin();
    if (offset < 0) return "no-slot";
    const message = offset + ipHeaderBytes(source);
    output.memory.bytes.set(
      memory.bytes.subarray(packet.payloadOffset, packet.payloadOffset + packet.payloadLength),
      message,
    );
    output.memory.view.setUint32(message, (packet.version === 6 ? ICMPV6_ECHO_REPLY : ICMPV4_ECHO_REPLY) * 0x1000000);
    this.#finish(offset, source, destination, packet.payloadLength);
    return undefined;
  }

  #takeReply(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    const at = packet.payloadOffset;
    if (memory.view.getUint16(at + 4) !== this.#identifier) return "no-socket";
    const data = memory.bytes.subarray(at + ICMP_HEADER_BYTES, at + packet.payloadLength);
    const source = addressAt(memory, packet.sourceOffset, packet.addressLength);
    return this.#host.pinger.handleReply("icmp", source, data, now) ? undefined : "no-socket";
  }

  #takeError(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    const { bytes, view } = memory;
    const v6 = packet.version === 6;
    const at = packet.payloadOffset;
    const end = at + packet.payloadLength;
    const quote = at + ICMP_HEADER_BYTES;
    if (quote + (v6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) + 8 > end) return "too-short";
    if (bytes[quote]! >> 4 !== packet.version) return "malformed";
    const type = bytes[at]!;
    const code = bytes[at + 1]!;
    const tooBig = v6 ? type === ICMPV6_PACKET_TOO_BIG : code === ICMPV4_FRAGMENTATION_NEEDED;
    const headerLength = v6 ? IPV6_HEADER_BYTES : (bytes[quote]! & 15) * 4;
    if (headerLength < (v6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES) || quote + headerLength + 8 > end)
      return "malformed";
    const mtu = v6
      ? Math.max(view.getUint32(at + 4), IPV6_MINIMUM_MTU)
      : Math.max(view.getUint16(at + 6), IPV4_MINIMUM_MTU);
    this.#host.onIcmpError(
      memory,
      {
        kind: tooBig ? "too-big" : "unreachable",
        portUnreachable: !tooBig && code === (v6 ? ICMPV6_PORT_UNREACHABLE : ICMPV4_PORT_UNREACHABLE),
        mtu,
        protocol: v6 ? bytes[quote + 6]! : bytes[quote + 9]!,
        sourceOffset: packet.sourceOffset,
        localOffset: quote + (v6 ? 8 : 12),
        remoteOffset: quote + (v6 ? 24 : 16),
        addressLength: packet.addressLength,
        transportOffset: quote + headerLength,
      },
      now,
    );
    return undefined;
  }

  /** Completes and sends a message that is written except for its checksum; that field must be zero. */
  #finish(offset: number, source: IpAddress, destination: IpAddress, length: number): void {
    const { output, checksum } = this.#host;
    const { memory } = output;
    const protocol = source.length === 16 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP;
    const header = emitIpHeader(memory, offset, source, destination, protocol, length, checksum);
    const sum =
      protocol === PROTOCOL_ICMPV6
        ? transportChecksum(memory, offset, header, protocol, length, checksum)
        : ~checksum(memory.bytes, offset + header, length, 0) & 0xffff;
    memory.view.setUint16(offset + header + 2, sum);
    output.commit(header + length);
  }
}
