import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { SlotRing } from "./slot-ring.ts";

export function createPacketCipher(options: { txSlots?: number; rxSlots?: number; stride?: number }): PacketCipher {
  const stride = options.stride ?? 1536;
  const txSlots = options.txSlots ?? 256;
  const rxSlots = options.rxSlots ?? 256;
  const bytes = new Uint8Array((txSlots + rxSlots) * stride);
  const memory = { bytes, view: new DataView(bytes.buffer) };
  const jobs: { key: Uint8Array; nonce: Uint8Array; offset: number; length: number }[] = [];
  const verdicts = new Uint8Array(CIPHER_BATCH);
  const queue = (key: Uint8Array, low: number, high: number, offset: number, length: number): number => {
    if (jobs.length === CIPHER_BATCH) return -1;
    const nonce = new Uint8Array(12);
    const view = new DataView(nonce.buffer);
    view.setUint32(4, low, true);
    view.setUint32(8, high, true);
    jobs.push({ key: key.slice(), nonce, offset, length });
    return jobs.length - 1;
  };
  return {
    memory,
    tx: new SlotRing(0, stride, txSlots),
    rx: new SlotRing(txSlots * stride, stride, rxSlots),
    checksum: (data, offset, length, initial) => {
      let sum = initial;
      for (let i = 0; i + 1 < length; i += 2) sum += (data[offset + i]! << 8) | data[offset + i + 1]!;
      if (length % 2 === 1) sum += data[offset + length - 1]! << 8;
      while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
      return sum;
    },
    queueSeal: queue,
    queueOpen: queue,
    runSeal() {
      for (const job of jobs) bytes.set(chacha20poly1305(job.key, job.nonce).encrypt(bytes.slice(job.offset, job.offset + job.length)), job.offset);
      jobs.length = 0;
    },
    runOpen() {
      jobs.forEach((job, i) => {
        try {
          bytes.set(chacha20poly1305(job.key, job.nonce).decrypt(bytes.slice(job.offset, job.offset + job.length + 16)), job.offset);
          verdicts[i] = 1;
        } catch {
          bytes.fill(0, job.offset, job.offset + job.length + 16);
          verdicts[i] = 0;
        }
      });
      jobs.length = 0;
    },
    verdict: (index) => verdicts[index] === 1,
  };
}
