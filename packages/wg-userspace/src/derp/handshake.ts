/**
 * The three frames that open a DERP connection:
 *
 *     ServerKey   magic (8) ‖ server public key (32) ‖ anything
 *     ClientInfo  client public key (32) ‖ nonce (24) ‖ NaCl box of JSON
 *     ServerInfo  nonce (24) ‖ NaCl box of JSON
 *
 * The box proves that the sender holds the private key of the public key it names: that is all the authentication that
 * DERP has or needs.
 */
import { bytesEqual, utf8 } from "../base/bytes.ts";
import type { CryptoSuite } from "../base/ports.ts";
import { copyOf, FrameType, frame, KEY_BYTES } from "./frame.ts";
import { decodeUtf8 } from "./text.ts";

/** "DERP" and U+1F511. */
export const MAGIC = Uint8Array.of(0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91);
/** Version 2: RecvPacket carries the source key. */
export const PROTOCOL_VERSION = 2;
export const NONCE_BYTES = 24;

export const SERVER_KEY_MIN_BYTES = MAGIC.length + KEY_BYTES;
export const SERVER_KEY_MAX_BYTES = 1024;
export const CLIENT_INFO_MIN_BYTES = KEY_BYTES + NONCE_BYTES;
export const CLIENT_INFO_MAX_BYTES = 256 * 1024;
export const SERVER_INFO_MIN_BYTES = NONCE_BYTES;
export const SERVER_INFO_MAX_BYTES = NONCE_BYTES + (1 << 20);

export interface ClientInfo {
  readonly version: number;
  /** Shared secret of the servers of one region; ordinary clients have none. */
  readonly meshKey?: string | undefined;
  readonly canAckPings: boolean;
  readonly isProber: boolean;
}

export interface ServerInfo {
  readonly version: number;
  /** When set, the client limits its own SendPacket frames to this rate. */
  readonly tokenBucketBytesPerSecond?: number | undefined;
  readonly tokenBucketBytesBurst?: number | undefined;
}

export function serverKeyFrame(publicKey: Uint8Array): Uint8Array {
  return frame(FrameType.serverKey, MAGIC, publicKey);
}

/** The server's public key out of a ServerKey payload, owned; undefined when it is not one. */
export function parseServerKey(bytes: Uint8Array, offset: number, length: number): Uint8Array | undefined {
  if (length < SERVER_KEY_MIN_BYTES || length > SERVER_KEY_MAX_BYTES) return undefined;
  const keyAt = offset + MAGIC.length;
  if (!bytesEqual(bytes.subarray(offset, keyAt), MAGIC)) return undefined;
  return copyOf(bytes, keyAt, KEY_BYTES);
}

/** @param boxKey `CryptoSuite.boxKey(client private, server public)`. */
export function clientInfoFrame(
  crypto: CryptoSuite,
  publicKey: Uint8Array,
  boxKey: Uint8Array,
  nonce: Uint8Array,
  info: ClientInfo,
): Uint8Array {
  const json = JSON.stringify({
    version: info.version,
    meshKey: info.meshKey || undefined,
    CanAckPings: info.canAckPings,
    IsProber: info.isProber || undefined,
  });
  return frame(FrameType.clientInfo, publicKey, nonce, crypto.sealBox(boxKey, nonce, utf8(json)));
}

export interface OpenedClientInfo {
  /** Owned. Proven: the box opened under it. */
  readonly publicKey: Uint8Array;
  readonly boxKey: Uint8Array;
  readonly info: ClientInfo;
}

/** Verifies a ClientInfo payload. Undefined when it is malformed or the client does not hold the key that it names. */
export function openClientInfo(
  crypto: CryptoSuite,
  serverPrivateKey: Uint8Array,
  bytes: Uint8Array,
  offset: number,
  length: number,
): OpenedClientInfo | undefined {
  if (length < CLIENT_INFO_MIN_BYTES || length > CLIENT_INFO_MAX_BYTES) return undefined;
  const publicKey = copyOf(bytes, offset, KEY_BYTES);
  const boxKey = crypto.boxKey(serverPrivateKey, publicKey);
  if (boxKey === undefined) return undefined;
  const json = openJson(crypto, boxKey, bytes, offset + KEY_BYTES, length - KEY_BYTES);
  const version = json === undefined ? undefined : field(json, "version");
  if (json === undefined || !isCount(version)) return undefined;
  const meshKey = field(json, "meshKey");
  return {
    publicKey,
    boxKey,
    info: {
      version,
      meshKey: typeof meshKey === "string" && meshKey !== "" ? meshKey : undefined,
      canAckPings: field(json, "CanAckPings") === true,
      isProber: field(json, "IsProber") === true,
    },
  };
}

export function serverInfoFrame(
  crypto: CryptoSuite,
  boxKey: Uint8Array,
  nonce: Uint8Array,
  info: ServerInfo,
): Uint8Array {
  const json = JSON.stringify({
    version: info.version,
    TokenBucketBytesPerSecond: info.tokenBucketBytesPerSecond || undefined,
    TokenBucketBytesBurst: info.tokenBucketBytesBurst || undefined,
  });
  return frame(FrameType.serverInfo, nonce, crypto.sealBox(boxKey, nonce, utf8(json)));
}

/** Undefined when malformed or not sealed by the server whose key went into `boxKey`. */
export function openServerInfo(
  crypto: CryptoSuite,
  boxKey: Uint8Array,
  bytes: Uint8Array,
  offset: number,
  length: number,
): ServerInfo | undefined {
  if (length < SERVER_INFO_MIN_BYTES || length > SERVER_INFO_MAX_BYTES) return undefined;
  const json = openJson(crypto, boxKey, bytes, offset, length);
  if (json === undefined) return undefined;
  const version = field(json, "version");
  const rate = field(json, "TokenBucketBytesPerSecond");
  const burst = field(json, "TokenBucketBytesBurst");
  return {
    version: isCount(version) ? version : 0,
    tokenBucketBytesPerSecond: isCount(rate) && rate > 0 ? rate : undefined,
    tokenBucketBytesBurst: isCount(burst) && burst > 0 ? burst : undefined,
  };
}

function openJson(
  crypto: CryptoSuite,
  boxKey: Uint8Array,
  bytes: Uint8Array,
  offset: number,
  length: number,
): Readonly<Record<string, unknown>> | undefined {
  const boxAt = offset + NONCE_BYTES;
  const plain = crypto.openBox(boxKey, bytes.subarray(offset, boxAt), bytes.subarray(boxAt, offset + length));
  if (plain === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(decodeUtf8(plain, 0, plain.length));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined; // not JSON: the caller closes the connection
  }
}

/** Go matches keys without regard to case; an exact match wins. */
function field(json: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(json, name)) return json[name];
  const wanted = name.toLowerCase();
  for (const key of Object.keys(json)) if (key.toLowerCase() === wanted) return json[key];
  return undefined;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
