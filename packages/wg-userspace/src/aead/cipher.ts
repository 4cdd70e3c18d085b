import type { PacketCipher } from "../base/ports.ts";
import type { CipherOptions } from "./cipher-options.ts";
import { createJsCipher } from "./js-cipher.ts";
import { createWasmCipher } from "./wasm-cipher.ts";

export { checksum } from "./checksum.ts";

/**
 * The fastest cipher this machine has: WASM SIMD, or plain JavaScript where that is missing.
 * @throws RangeError on sizes that no memory can be made of.
 */
export function createPacketCipher(options: Partial<CipherOptions> = {}): PacketCipher {
  return createWasmCipher(options) ?? createJsCipher(options);
}
