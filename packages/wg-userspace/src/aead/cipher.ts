import type { PacketCipher } from "../base/ports.ts";
import type { CipherOptions } from "./cipher-options.ts";
import { createJsCipher } from "./js-cipher.ts";
import { type AeadAccelerator, createWasmCipher } from "./wasm-cipher.ts";

export { checksum } from "./checksum.ts";

/**
 * The fastest cipher of this machine: WASM SIMD, with an accelerator for its work if there is one, or plain JavaScript
 * where WASM SIMD is missing.
 * @throws RangeError on sizes that no memory can have.
 */
export function createPacketCipher(options: Partial<CipherOptions> = {}, accelerator?: AeadAccelerator): PacketCipher {
  return createWasmCipher(options, accelerator) ?? createJsCipher(options);
}
