/**
 * Cost of one data packet in the cipher: our WASM module, its JavaScript fallback, and node:crypto, in turn on the same
 * bytes.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { DEFAULT_CIPHER_OPTIONS } from "../../packages/wg-userspace/src/aead/cipher-options.ts";
import { createJsCipher } from "../../packages/wg-userspace/src/aead/js-cipher.ts";
import { createWasmCipher } from "../../packages/wg-userspace/src/aead/wasm-cipher.ts";
import { CIPHER_BATCH, type PacketCipher } from "../../packages/wg-userspace/src/base/ports.ts";
import { type Bench, Rounds } from "./report.ts";

const PACKET_BYTES = 1280;
const HEADER_BYTES = 16;
const TAG_BYTES = 16;
const ROUND_MS = 250;

export const aeadBench: Bench = async ({ rounds, progress }) => {
  const measured = new Rounds();
  const wasm = createWasmCipher(DEFAULT_CIPHER_OPTIONS);
  const twin = createJsCipher(DEFAULT_CIPHER_OPTIONS);
  const contestants: [string, () => void, () => void][] = [];
  if (wasm !== undefined) contestants.push(["WASM", ...batches(wasm)]);
  contestants.push(["node:crypto", ...opensslBatches()], ["plain JavaScript", ...batches(twin)]);
  // Before the first round: let compilers warm up.
  for (const [, seal, open] of contestants) {
    for (let i = 0; i < 100; i++) {
      seal();
      open();
    }
  }
  for (let round = 0; round < rounds; round++) {
    progress(`AEAD, round ${round + 1} of ${rounds}`);
    for (const [name, seal, open] of contestants) {
      measured.add(`${name}: seal`, microsecondsPerPacket(seal), "µs/packet", { better: "lower" });
      measured.add(`${name}: open`, microsecondsPerPacket(open), "µs/packet", { better: "lower" });
    }
  }
  return {
    figures: measured.figures(),
    ratios: [
      ...measured.against("WASM: seal", "node:crypto: seal"),
      ...measured.against("WASM: open", "node:crypto: open"),
    ],
    missing: wasm === undefined ? ["WASM cipher: this runtime has no WASM SIMD"] : [],
    notes: [`${PACKET_BYTES} B per packet, batches of ${CIPHER_BATCH}; open of ours includes putting the packet back`],
  };
};

function microsecondsPerPacket(batch: () => void): number {
  const started = performance.now();
  let [packets, elapsed] = [0, 0];
  do {
    batch();
    packets += CIPHER_BATCH;
    elapsed = performance.now() - started;
  } while (elapsed < ROUND_MS);
  return (elapsed * 1000) / packets;
}

/** Sealing and opening of one batch; opened packets are restored before, so that every tag is valid. */
function batches(cipher: PacketCipher): [seal: () => void, open: () => void] {
  const key = randomBytes(32);
  const slots = Array.from({ length: CIPHER_BATCH }, () => cipher.tx.lease());
  const sealed = new Uint8Array(PACKET_BYTES + TAG_BYTES);
  const { bytes } = cipher.memory;
  cipher.queueSeal(key, 7, 0, slots[0]! + HEADER_BYTES, PACKET_BYTES);
  cipher.runSeal();
  sealed.set(bytes.subarray(slots[0]! + HEADER_BYTES, slots[0]! + HEADER_BYTES + sealed.length));
  let counter = 0;
  return [
    () => {
      for (const slot of slots) cipher.queueSeal(key, counter++, 0, slot + HEADER_BYTES, PACKET_BYTES);
      cipher.runSeal();
    },
    () => {
      for (const slot of slots) {
        bytes.set(sealed, slot + HEADER_BYTES);
        cipher.queueOpen(key, 7, 0, slot + HEADER_BYTES, PACKET_BYTES);
      }
      cipher.runOpen();
      if (!cipher.verdict(0)) throw new Error("a packet of the bench did not open");
    },
  ];
}

function opensslBatches(): [seal: () => void, open: () => void] {
  const key = randomBytes(32);
  const nonce = new Uint8Array(12);
  const view = new DataView(nonce.buffer);
  const plain = randomBytes(PACKET_BYTES);
  const options = { authTagLength: TAG_BYTES };
  const seal = (): Uint8Array[] => {
    const cipher = createCipheriv("chacha20-poly1305", key, nonce, options);
    return [cipher.update(plain), cipher.final(), cipher.getAuthTag()];
  };
  const [ciphertext, , tag] = seal();
  let counter = 0;
  return [
    () => {
      for (let i = 0; i < CIPHER_BATCH; i++) {
        view.setUint32(4, counter++, true);
        seal();
      }
      view.setUint32(4, 0, true);
    },
    () => {
      for (let i = 0; i < CIPHER_BATCH; i++) {
        const decipher = createDecipheriv("chacha20-poly1305", key, nonce, options);
        decipher.setAuthTag(tag!);
        decipher.update(ciphertext!);
        decipher.final();
      }
    },
  ];
}
