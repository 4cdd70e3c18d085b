/** The key of a NaCl box from the shared secret of both keys: HSalsa20 over it with sixteen zero bytes. */
import { hsalsa } from "@noble/ciphers/salsa.js";

/** "expand 32-byte k" as little-endian words. */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

export function boxKeyOf(shared: Uint8Array): Uint8Array {
  const out = new Uint32Array(8);
  hsalsa(SIGMA, words(shared), new Uint32Array(4), out);
  return bytesOf(out);
}

function words(bytes: Uint8Array): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Uint32Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(4 * i, true));
}

function bytesOf(from: Uint32Array): Uint8Array {
  const out = new Uint8Array(from.length * 4);
  const view = new DataView(out.buffer);
  from.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return out;
}
