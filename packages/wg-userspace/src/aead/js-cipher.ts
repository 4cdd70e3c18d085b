/** PacketCipher without WASM: @noble's ChaCha20-Poly1305, one packet after the other. The slow twin, and the fallback. */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { checksum } from "./checksum.ts";
import type { CipherOptions } from "./cipher-options.ts";
import { SlotRing } from "./slot-ring.ts";

const TAG_BYTES = 16;

interface Job {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

export function createJsCipher({ stride, txSlots, rxSlots }: CipherOptions): PacketCipher {
  const bytes = new Uint8Array((txSlots + rxSlots) * stride);
  const jobs: Job[] = [];
  const verdicts = new Uint8Array(CIPHER_BATCH);
  const queue = (key: Uint8Array, counterLow: number, counterHigh: number, offset: number, length: number): number => {
    if (jobs.length === CIPHER_BATCH) return -1;
    const nonce = new Uint8Array(12);
    const view = new DataView(nonce.buffer);
    view.setUint32(4, counterLow, true);
    view.setUint32(8, counterHigh, true);
    return jobs.push({ key: key.slice(), nonce, offset, length }) - 1;
  };
  return {
    memory: { bytes, view: new DataView(bytes.buffer) },
    tx: new SlotRing(0, stride, txSlots),
    rx: new SlotRing(txSlots * stride, stride, rxSlots),
    checksum,
    queueSeal: queue,
    queueOpen: queue,
    runSeal() {
      for (const { key, nonce, offset, length } of jobs.splice(0)) {
        bytes.set(chacha20poly1305(key, nonce).encrypt(bytes.slice(offset, offset + length)), offset);
      }
    },
    runOpen() {
      jobs.splice(0).forEach(({ key, nonce, offset, length }, index) => {
        const end = offset + length + TAG_BYTES;
        try {
          bytes.set(chacha20poly1305(key, nonce).decrypt(bytes.slice(offset, end)), offset);
          verdicts[index] = 1;
        } catch {
          bytes.fill(0, offset, end); // wrong tag
          verdicts[index] = 0;
        }
      });
    },
    verdict: (index) => verdicts[index] === 1,
  };
}
