/**
 * The optional package `udp-batch`: batched UDP and OpenSSL's AEAD. Absent on most platforms, and nothing needs it; see
 * docs/decisions/007-native-module.md.
 */
import { createRequire } from "node:module";
import type { AeadAccelerator } from "../aead/wasm-cipher.ts";

export type UdpBatch = typeof import("udp-batch");

let loaded: UdpBatch | undefined;
let tried = false;

/** Undefined where it is not installed, does not load, or is switched off by `CODER_NO_NATIVE=1`. */
export function loadUdpBatch(): UdpBatch | undefined {
  if (process.env["CODER_NO_NATIVE"] === "1") return undefined;
  if (tried) return loaded;
  tried = true;
  try {
    loaded = createRequire(import.meta.url)("udp-batch") as UdpBatch;
  } catch {
    // Not built, or built for another system: node:dgram and WebAssembly do the same, slower.
  }
  return loaded;
}

/** Its AEAD, where this Node has one for native modules. */
export function nativeAead(): AeadAccelerator | undefined {
  const native = loadUdpBatch();
  return native?.hasAead === true ? native : undefined;
}
