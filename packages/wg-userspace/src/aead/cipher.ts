import type { PacketCipher } from "../base/ports.ts";
import { type CipherOptions, DEFAULT_CIPHER_OPTIONS } from "./cipher-options.ts";
import { createJsCipher } from "./js-cipher.ts";
import { createWasmCipher } from "./wasm-cipher.ts";

/** The fastest cipher this machine has: WASM SIMD, or plain JavaScript where that is missing. */
export function createPacketCipher(options: Partial<CipherOptions> = {}): PacketCipher {
  const full = { ...DEFAULT_CIPHER_OPTIONS, ...options };
  return createWasmCipher(full) ?? createJsCipher(full);
}
