/**
 * The optional package `udp-batch`: batched UDP and OpenSSL's AEAD. It is missing on most platforms, and nothing
 * depends on it; see docs/decisions/007-native-module.md.
 */
import type { AeadAccelerator } from "../../aead/wasm-cipher.ts";
import { loadAtRunTime, originAtRunTime } from "../host/run-time-require.ts";

export type UdpBatch = typeof import("udp-batch");

let loaded: UdpBatch | undefined;
let failure = "";
let tried = false;

/** Undefined if it is not installed, does not load, or is switched off by `CODER_NO_NATIVE=1`. */
export function loadUdpBatch(): UdpBatch | undefined {
  if (process.env["CODER_NO_NATIVE"] === "1") return undefined;
  if (tried) return loaded;
  tried = true;
  try {
    loaded = loadAtRunTime("udp-batch", import.meta.url) as UdpBatch;
  } catch (error) {
    // It is not built, or built for another system: node:dgram and WebAssembly do the same, slower.
    failure = (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
  }
  return loaded;
}

/** A line for users: what carries datagrams here, where it is from, and why it is not the native module. */
export function describeUdpCarrier(): string {
  const native = loadUdpBatch();
  if (native !== undefined) {
    const cipher = native.hasAead ? "with OpenSSL's ChaCha20-Poly1305" : "with WebAssembly's ChaCha20-Poly1305";
    return `native module udp-batch, ${cipher}, from ${originAtRunTime("udp-batch", import.meta.url)}`;
  }
  const why = process.env["CODER_NO_NATIVE"] === "1" ? "switched off by CODER_NO_NATIVE=1" : failure;
  return `node:dgram; the native module udp-batch is not used: ${why}`;
}

/** Whether a packet that measures a path is kept from being sent in fragments: without that, a large size proves nothing. */
export function measuresWholePackets(): boolean {
  return loadUdpBatch()?.sendsWhole === true;
}

/** The AEAD of the native module, if this Node's OpenSSL offers one to it. */
export function nativeAead(): AeadAccelerator | undefined {
  const native = loadUdpBatch();
  return native?.hasAead === true ? native : undefined;
}
