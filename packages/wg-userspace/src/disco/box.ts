/** The envelope of disco: magic ‖ sender's disco key ‖ nonce ‖ NaCl box. The same bytes travel by UDP and by relay. */
import { concatBytes } from "../base/bytes.ts";
import type { DiscoPublicKey } from "../base/keys.ts";
import type { CryptoSuite } from "../base/ports.ts";

const MAGIC = Uint8Array.of(0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac);
const NONCE_AT = 38;
const BOX_AT = 62;
export const DISCO_NONCE_BYTES = 24;

/** Whether bytes are disco: such a packet is never handed to WireGuard, even if it cannot be opened. */
export function looksLikeDisco(bytes: Uint8Array, offset: number, length: number): boolean {
  if (length < BOX_AT) return false;
  for (let i = 0; i < MAGIC.length; i++) if (bytes[offset + i] !== MAGIC[i]) return false;
  return true;
}

/** The key that claims to have sent it; borrowed, and proven only by {@link openDisco}. */
export function discoSender(packet: Uint8Array): Uint8Array {
  return packet.subarray(MAGIC.length, NONCE_AT);
}

/** @param boxKey `CryptoSuite.boxKey(own disco private key, receiver's disco public key)`. */
export function sealDisco(
  crypto: CryptoSuite,
  sender: DiscoPublicKey,
  boxKey: Uint8Array,
  nonce: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return concatBytes(MAGIC, sender, nonce, crypto.sealBox(boxKey, nonce, plaintext));
}

/** Undefined when it was not sealed by the holder of the sender's key. */
export function openDisco(crypto: CryptoSuite, boxKey: Uint8Array, packet: Uint8Array): Uint8Array | undefined {
  return crypto.openBox(boxKey, packet.subarray(NONCE_AT, BOX_AT), packet.subarray(BOX_AT));
}
