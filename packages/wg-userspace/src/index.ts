/** Public entry of the engine on Node. The cores are importable one by one, as `wg-userspace/netstack/stack` and so on. */

export { EngineError, type ErrorCode } from "./base/errors.ts";
export {
  type AddrPort,
  formatAddrPort,
  formatIp,
  type IpAddress,
  type IpPrefix,
  ip,
  parseIp,
  parsePrefix,
} from "./base/ip.ts";
export {
  clampPrivateKey,
  type NodePrivateKey,
  type NodePublicKey,
  nodePrivateKey,
  nodePublicKey,
} from "./base/keys.ts";
export type { CryptoSuite, Logger, PacketCipher, RandomSource } from "./base/ports.ts";
export {
  Engine,
  type EngineConfig,
  type EngineEvent,
  type EngineOutput,
  type EnginePeer,
  type PeerStatus,
} from "./engine.ts";
