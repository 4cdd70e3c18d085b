import type { PacketCipher } from "../base/ports.ts";
import type { CipherOptions } from "./cipher-options.ts";
import { createJsCipher } from "./js-cipher.ts";
import { type AeadAccelerator, createWasmCipher } from "./wasm-cipher.ts";

export { checksum } from "./checksum.ts";

/**
 * The fastest cipher this machine has: WASM SIMD, its work done by the accelerator if there is one, or plain JavaScript where
 * that is missing.
 * @throws RangeError on sizes that no memory can be made of.
 */
export function createPacketCipher(options: Partial<CipherOptions> = {}, accelerator?: AeadAccelerator): PacketCipher {
  return createWasmCipher(options, accelerator) ?? createJsCipher(options);
}
