import type { AddrPort } from "../../base/ip.ts";
import type { ChecksumFunction } from "../../base/ports.ts";
import type { PacketOutput } from "../packet-output.ts";
import { emitIpHeader, transportChecksum } from "../wire/ip.ts";
import { PROTOCOL_TCP } from "../wire/ip-packet.ts";
import { ACK, emitTcp, FIN, RST, SYN, TCP_HEADER_BYTES, type TcpSegment } from "../wire/tcp.ts";

const CHECKSUM_OFFSET = 16;

/** Resets for segments that belong to no connection. Each returns false if there was no slot. */
export class Resets {
  readonly #output: PacketOutput;
  readonly #checksum: ChecksumFunction;

  constructor(output: PacketOutput, checksum: ChecksumFunction) {
    this.#output = output;
    this.#checksum = checksum;
  }

  /** Answers with a reset (RFC 9293 §3.10.7.1), but never a segment that is itself a reset. */
  answer(segment: TcpSegment, local: AddrPort, remote: AddrPort): boolean {
    const { flags } = segment;
    if ((flags & ACK) !== 0) return this.#send(local, remote, segment.ack, 0, RST);
    const length = segment.payloadLength + ((flags & SYN) !== 0 ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    return this.#send(local, remote, 0, (segment.seq + length) >>> 0, RST | ACK);
  }

  /** Refuses the connection requested by a SYN with this sequence number. */
  refuse(irs: number, local: AddrPort, remote: AddrPort): boolean {
    return this.#send(local, remote, 0, (irs + 1) >>> 0, RST | ACK);
  }

  #send(local: AddrPort, remote: AddrPort, seq: number, ack: number, flags: number): boolean {
    const { memory } = this.#output;
    const checksum = this.#checksum;
    const offset = this.#output.begin();
    if (offset < 0) return false;
    const length = TCP_HEADER_BYTES;
    const header = emitIpHeader(memory, offset, local.address, remote.address, PROTOCOL_TCP, length, checksum);
    const ports = local.port * 0x10000 + remote.port;
    emitTcp(memory, offset + header, ports, seq, ack, length, flags, 0);
    const sum = transportChecksum(memory, offset, header, PROTOCOL_TCP, length, checksum);
    memory.view.setUint16(offset + header + CHECKSUM_OFFSET, sum);
    this.#output.commit(header + length);
    return true;
  }
}
