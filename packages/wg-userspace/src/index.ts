/**
 * Public entry of the engine: what every platform has. `io/node.ts` is the entry for Node, `browser/crypto.ts` the one for web
 * pages.
 */

export { createPacketCipher } from "./aead/cipher.ts";
export type { CipherOptions } from "./aead/cipher-options.ts";
export type { AeadAccelerator } from "./aead/wasm-cipher.ts";
export { EngineError, type ErrorCode } from "./base/errors.ts";
export { type Instant, instant } from "./base/instant.ts";
export {
  type AddrPort,
  formatAddrPort,
  formatIp,
  type IpAddress,
  type IpPrefix,
  ip,
  parseAddrPort,
  parseIp,
  parsePrefix,
} from "./base/ip.ts";
export {
  clampPrivateKey,
  type DiscoPrivateKey,
  type DiscoPublicKey,
  discoPrivateKey,
  discoPublicKey,
  type NodePrivateKey,
  type NodePublicKey,
  nodePrivateKey,
  nodePublicKey,
} from "./base/keys.ts";
export type { CryptoSuite, Logger, LogLevel, PacketCipher, RandomSource } from "./base/ports.ts";
export { type DerpMap, type DerpMapResult, parseDerpMap } from "./derp/map.ts";
export {
  Engine,
  type EngineConfig,
  type EngineEvent,
  type EngineOutput,
  type EnginePeer,
  type EnginePorts,
  type PeerStatus,
} from "./engine.ts";
export { describePath, type Path } from "./magicsock/path.ts";
export type { NetReport } from "./netcheck/report.ts";
