import type { Instant } from "../../base/instant.ts";
import type { AddrPort } from "../../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../../base/ports.ts";
import type { PacketOutput } from "../packet-output.ts";
import { foldChecksum } from "../wire/checksum.ts";
import { emitIpHeader, ipHeaderBytes } from "../wire/ip.ts";
import { PROTOCOL_TCP } from "../wire/ip-packet.ts";
import {
  ACK,
  emitSynOptions,
  emitTcp,
  emitTimestamps,
  RST,
  SYN,
  TCP_HEADER_BYTES,
  TIMESTAMPS_BYTES,
} from "../wire/tcp.ts";
import type { Negotiation } from "./negotiation.ts";
import type { Receiver } from "./receiver.ts";
import type { Sender } from "./sender.ts";
import { wireSeq } from "./seq.ts";

/** What a writer uses of the stack. */
interface WriterHost {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  /** Largest packet that we can receive. */
  readonly receiveMtu: number;
}

/** Writes the segments of one connection into output slots, over a prepared IP header. Allocates nothing per segment. */
export class SegmentWriter {
  readonly ipHeaderBytes: number;
  /** Source and destination port as the header's first word. */
  readonly #ports: number;
  readonly #host: WriterHost;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #negotiation: Negotiation;
  readonly #output: PacketOutput;
  readonly #checksum: ChecksumFunction;
  readonly #template: Uint8Array;

  constructor(
    host: WriterHost,
    local: AddrPort,
    remote: AddrPort,
    sender: Sender,
    receiver: Receiver,
    negotiation: Negotiation,
  ) {
    this.#host = host;
    this.#output = host.output;
    this.#checksum = host.checksum;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#negotiation = negotiation;
    this.ipHeaderBytes = ipHeaderBytes(local.address);
    this.#ports = ((local.port << 16) | remote.port) >>> 0;
    this.#template = new Uint8Array(this.ipHeaderBytes);
    const memory = { bytes: this.#template, view: new DataView(this.#template.buffer) };
    // The IPv4 header's checksum is left empty: it depends on the length.
    emitIpHeader(memory, 0, local.address, remote.address, PROTOCOL_TCP, 0, () => 0xffff);
  }

  /**
   * One segment with everything that the state of the connection adds to it: acknowledgment, window, options.
   * @param position Its sequence number, as a position of our stream.
   * @param dataPosition Where its payload lies in the send buffer.
   * @returns false when there is no slot.
   */
  write(position: number, flags: number, dataPosition: number, dataLength: number, now: Instant): boolean {
    const tcp = this.#begin();
    if (tcp < 0) return false;
    const { memory } = this.#output;
    const sender = this.#sender;
    const receiver = this.#receiver;
    const synchronizing = (flags & SYN) !== 0;
    let headerLength = TCP_HEADER_BYTES;
    if (synchronizing) {
      headerLength += this.#writeSynOptions(memory, tcp + headerLength, (flags & ACK) !== 0, now);
    } else {
      if (receiver.timestamps) {
        emitTimestamps(memory, tcp + headerLength, this.#negotiation.timestamp(now), receiver.tsRecent);
        headerLength += TIMESTAMPS_BYTES;
      }
      if (dataLength === 0 && sender.sackPermitted && (flags & RST) === 0)
        headerLength += receiver.writeSackBlocks(memory, tcp + headerLength);
    }
    let window = receiver.advertise(synchronizing ? 0 : receiver.windowScale);
    if ((flags & RST) !== 0) window = 0;
    emitTcp(
      memory,
      tcp,
      this.#ports,
      wireSeq(sender.iss, position),
      (flags & ACK) !== 0 ? wireSeq(receiver.irs, receiver.next) : 0,
      headerLength,
      flags,
      window,
    );
    if (dataLength > 0) sender.buffer.copyTo(memory.bytes, tcp + headerLength, dataPosition, dataLength);
    this.#commit(tcp, headerLength + dataLength);
    return true;
  }

  /** A bare reset. Dropped when there is no slot. */
  reset(seq: number): void {
    const tcp = this.#begin();
    if (tcp < 0) return;
    emitTcp(this.#output.memory, tcp, this.#ports, seq, 0, TCP_HEADER_BYTES, RST, 0);
    this.#commit(tcp, TCP_HEADER_BYTES);
  }

  /** @param answering The peer's SYN has arrived, and its timestamp is echoed. */
  #writeSynOptions(memory: PacketMemory, offset: number, answering: boolean, now: Instant): number {
    const receiver = this.#receiver;
    const negotiation = this.#negotiation;
    return emitSynOptions(memory, offset, {
      mss: Math.min(this.#host.receiveMtu - this.ipHeaderBytes - TCP_HEADER_BYTES, 65535),
      windowScale: negotiation.scaling ? receiver.offeredScale() : undefined,
      sackPermitted: negotiation.sack,
      timestamps: negotiation.timestamps ? [negotiation.timestamp(now), answering ? receiver.tsRecent : 0] : undefined,
    });
  }

  /** @returns the offset for the TCP header, or -1 when there is no slot. */
  #begin(): number {
    const offset = this.#output.begin();
    if (offset < 0) return -1;
    this.#output.memory.bytes.set(this.#template, offset);
    return offset + this.ipHeaderBytes;
  }

  /** Fills in lengths and checksums of the segment written at `tcp`, and sends it. */
  #commit(tcp: number, segmentLength: number): void {
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
}
