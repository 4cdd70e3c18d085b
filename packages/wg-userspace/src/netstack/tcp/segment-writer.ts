import type { AddrPort } from "../../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../../base/ports.ts";
import type { PacketOutput } from "../packet-output.ts";
import { foldChecksum } from "../wire/checksum.ts";
import { emitIpHeader, ipHeaderBytes } from "../wire/ip.ts";
import { PROTOCOL_TCP } from "../wire/ip-packet.ts";
import { emitTcp, RST, TCP_HEADER_BYTES } from "../wire/tcp.ts";

/** Writes the segments of one connection into output slots, over a prepared IP header. Allocates nothing per segment. */
export class SegmentWriter {
  readonly ipHeaderBytes: number;
  /** Source and destination port as the header's first word. */
  readonly ports: number;
  readonly #output: PacketOutput;
  readonly #checksum: ChecksumFunction;
  readonly #template: Uint8Array;

  constructor(output: PacketOutput, checksum: ChecksumFunction, local: AddrPort, remote: AddrPort) {
    this.#output = output;
    this.#checksum = checksum;
    this.ipHeaderBytes = ipHeaderBytes(local.address);
    this.ports = ((local.port << 16) | remote.port) >>> 0;
    this.#template = new Uint8Array(this.ipHeaderBytes);
    const memory = { bytes: this.#template, view: new DataView(this.#template.buffer) };
    // The IPv4 header's checksum is left empty: it depends on the length.
    emitIpHeader(memory, 0, local.address, remote.address, PROTOCOL_TCP, 0, () => 0xffff);
  }

  get memory(): PacketMemory {
    return this.#output.memory;
  }

  /** @returns the offset for the TCP header, or -1 when there is no slot. */
  begin(): number {
    const offset = this.#output.begin();
    if (offset < 0) return -1;
    this.#output.memory.bytes.set(this.#template, offset);
    return offset + this.ipHeaderBytes;
  }

  /** Fills in lengths and checksums of the segment written at `tcp`, and sends it. */
  commit(tcp: number, segmentLength: number): void {
    const { bytes, view } = this.#output.memory;
    const checksum = this.#checksum;
    const offset = tcp - this.ipHeaderBytes;
    let addresses = 32;
    if (this.ipHeaderBytes === 20) {
      view.setUint16(offset + 2, 20 + segmentLength);
      view.setUint16(offset + 10, ~checksum(bytes, offset, 20, 0) & 0xffff);
      addresses = 8;
    } else {
      view.setUint16(offset + 4, segmentLength);
    }
    // The addresses lie directly before the segment, so one run covers the pseudo-header too.
    const sum = checksum(bytes, tcp - addresses, addresses + segmentLength, foldChecksum(PROTOCOL_TCP + segmentLength));
    view.setUint16(tcp + 16, ~sum & 0xffff);
    this.#output.commit(this.ipHeaderBytes + segmentLength);
  }

  /** A bare reset. Dropped when there is no slot. */
  reset(seq: number): void {
    const tcp = this.begin();
    if (tcp < 0) return;
    emitTcp(this.memory, tcp, this.ports, seq, 0, TCP_HEADER_BYTES, RST, 0);
    this.commit(tcp, TCP_HEADER_BYTES);
  }
}
