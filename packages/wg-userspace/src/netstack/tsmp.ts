import type { DropReason } from "../base/errors.ts";
import type { Instant } from "../base/instant.ts";
import type { IpAddress } from "../base/ip.ts";
import type { ChecksumFunction, PacketMemory } from "../base/ports.ts";
import { addressAt, type OwnAddresses } from "./own-addresses.ts";
import type { PacketOutput } from "./packet-output.ts";
import type { Pinger } from "./pinger.ts";
import { emitIpHeader } from "./wire/ip.ts";
import { type IpPacket, PROTOCOL_TSMP } from "./wire/ip-packet.ts";
import { TSMP_PING, TSMP_PING_BYTES, TSMP_PONG, TSMP_PONG_BYTES } from "./wire/tsmp.ts";

export interface TsmpHost {
  readonly output: PacketOutput;
  readonly checksum: ChecksumFunction;
  readonly own: OwnAddresses;
  readonly pinger: Pinger;
}

/** Pings of Tailscale's TSMP: answers them, sends them, and hands answers to the Pinger. */
export class Tsmp {
  readonly #host: TsmpHost;

  constructor(host: TsmpHost) {
    this.#host = host;
  }

  handle(memory: PacketMemory, packet: IpPacket, now: Instant): DropReason | undefined {
    if (packet.payloadLength < 1) return "too-short";
    const at = packet.payloadOffset;
    const kind = memory.bytes[at]!;
    if (kind !== TSMP_PING && kind !== TSMP_PONG) return "unknown-type";
    if (packet.payloadLength < TSMP_PING_BYTES) return "too-short";
    const { own, pinger } = this.#host;
    const source = addressAt(memory, packet.sourceOffset, packet.addressLength);
    const data = memory.bytes.subarray(at + 1, at + TSMP_PING_BYTES);
    if (kind === TSMP_PONG) return pinger.handleReply("tsmp", source, data, now) ? undefined : "no-socket";
    const pinged = own.at(memory, packet.destinationOffset, packet.addressLength);
    return this.#send(pinged, source, TSMP_PONG, data, TSMP_PONG_BYTES) ? undefined : "no-slot";
  }

  /** @param data 8 bytes that come back in the answer. @returns false if there is no slot. */
  sendPing(source: IpAddress, destination: IpAddress, data: Uint8Array): boolean {
    return this.#send(source, destination, TSMP_PING, data, TSMP_PING_BYTES);
  }

  #send(source: IpAddress, destination: IpAddress, kind: number, data: Uint8Array, length: number): boolean {
    const { output, checksum } = this.#host;
    const { memory } = output;
    const offset = output.begin();
    if (offset < 0) return false;
    const header = emitIpHeader(memory, offset, source, destination, PROTOCOL_TSMP, length, checksum);
    const at = offset + header;
    memory.bytes.fill(0, at, at + length);
    memory.bytes[at] = kind;
    memory.bytes.set(data, at + 1);
    output.commit(header + length);
    return true;
  }
}
