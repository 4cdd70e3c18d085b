/** The envelope of disco: magic ‖ sender's disco key ‖ nonce ‖ NaCl box. The same bytes travel by UDP and by relay. */
import { concatBytes } from "../base/bytes.ts";
import { DISCO_HEADER_BYTES, DISCO_MAGIC } from "../base/disco-marker.ts";
import type { DiscoPublicKey } from "../base/keys.ts";
import type { CryptoSuite } from "../base/ports.ts";

const NONCE_AT = 38;
export const DISCO_NONCE_BYTES = 24;

/** The key of the claimed sender; borrowed, and proven only by {@link openDisco}. */
export function discoSender(packet: Uint8Array): Uint8Array {
  return packet.subarray(DISCO_MAGIC.length, NONCE_AT);
}

/** @param boxKey `CryptoSuite.boxKey(own disco private key, receiver's disco public key)`. */
export function sealDisco(
  crypto: CryptoSuite,
  sender: DiscoPublicKey,
  boxKey: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return concatBytes(DISCO_MAGIC, sender, nonce, crypto.sealBox(boxKey, nonce, plaintext));
}

/** Undefined when it was not sealed by the holder of the sender's key. */
export function openDisco(crypto: CryptoSuite, boxKey: Uint8Array, packet: Uint8Array): Uint8Array | undefined {
  return crypto.openBox(boxKey, packet.subarray(NONCE_AT, DISCO_HEADER_BYTES), packet.subarray(DISCO_HEADER_BYTES));
}
