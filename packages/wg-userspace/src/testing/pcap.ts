/** Writes datagrams of a simulated network as a capture file that Wireshark opens (pcap 2.4, raw IP). */
import type { Instant } from "../base/instant.ts";
import { isIpv4 } from "../base/ip.ts";
import type { Datagram } from "./internet.ts";

const LINKTYPE_RAW = 101;
const MAX_BYTES = 64 * 1024 * 1024;

export class Pcap {
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;

  constructor() {
    const header = new DataView(new ArrayBuffer(24));
    header.setUint32(0, 0xa1b2c3d4, true);
    header.setUint16(4, 2, true);
    header.setUint16(6, 4, true);
    header.setUint32(16, 65_535, true);
    header.setUint32(20, LINKTYPE_RAW, true);
    this.#push(new Uint8Array(header.buffer));
  }

  /** Copied. What exceeds 64 MiB in all is left out. */
  add({ from, to, payload, ttl }: Datagram, now: Instant): void {
    if (this.#bytes > MAX_BYTES) return;
    const v4 = isIpv4(to.address);
    const ipBytes = v4 ? 20 : 40;
    const length = ipBytes + 8 + payload.length;
    const record = new Uint8Array(16 + length);
    const view = new DataView(record.buffer);
    view.setUint32(0, Math.floor(now / 1000), true);
    view.setUint32(4, Math.floor((now % 1000) * 1000), true);
    view.setUint32(8, length, true);
    view.setUint32(12, length, true);
    if (v4) {
      view.setUint8(16, 0x45);
      view.setUint16(18, length);
      view.setUint8(24, ttl);
      view.setUint8(25, 17);
      record.set(from.address, 28);
      record.set(to.address, 32);
    } else {
      view.setUint8(16, 0x60);
      view.setUint16(20, 8 + payload.length);
      view.setUint8(22, 17);
      view.setUint8(23, ttl);
      record.set(from.address, 24);
      record.set(to.address, 40);
    }
    const udp = 16 + ipBytes;
    view.setUint16(udp, from.port);
    view.setUint16(udp + 2, to.port);
    view.setUint16(udp + 4, 8 + payload.length);
    record.set(payload, udp + 8);
    this.#push(record);
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#bytes);
    let at = 0;
    for (const chunk of this.#chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }
}
