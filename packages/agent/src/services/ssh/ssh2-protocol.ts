/**
 * ssh2's transport layer (RFC 4253), key exchange and message codecs, without its Server class. The channels are ours: those of
 * ssh2 credit every client's window regardless of the stream below, and lose or repeat data when stdout and stderr both wait for
 * window.
 */
import sshCrypto from "ssh2/lib/protocol/crypto.js";
import kex from "ssh2/lib/protocol/kex.js";
import keyParser from "ssh2/lib/protocol/keyParser.js";
import Protocol from "ssh2/lib/protocol/Protocol.js";
import { useNativeCiphers } from "./native-ciphers.ts";
import { HYBRID_KEX, hybridKexSupported, OFFERED_KEX, useHybridKex } from "./post-quantum-kex.ts";

export const DISCONNECT = { protocolError: 2, byApplication: 11 } as const;
export const OPEN_FAILURE = { prohibited: 1, connectFailed: 2, unknownType: 3, resourceShortage: 4 } as const;

export interface ChannelOpenInfo {
  readonly type: string;
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
  readonly data: {
    readonly destIP?: string;
    readonly destPort?: number;
    readonly srcIP?: string;
    readonly srcPort?: number;
    /** Bytes where the path is not UTF-8. */
    readonly socketPath?: string | Uint8Array;
  };
}

export interface ChannelConfirmation {
  readonly recipient: number;
  readonly sender: number;
  readonly window: number;
  readonly packetSize: number;
}

/** The content of the messages, as ssh2's codecs pass it. `self` is always first. */
export interface MessageHandlers {
  DISCONNECT(self: unknown, reason: number, description: string): void;
  SERVICE_REQUEST(self: unknown, service: string): void;
  USERAUTH_REQUEST(self: unknown, user: string, service: string, method: string): void;
  GLOBAL_REQUEST(self: unknown, name: string, wantReply: boolean, data: unknown): void;
  CHANNEL_OPEN(self: unknown, info: ChannelOpenInfo): void;
  CHANNEL_OPEN_CONFIRMATION(self: unknown, info: ChannelConfirmation): void;
  CHANNEL_OPEN_FAILURE(self: unknown, recipient: number, reason: number, description: string): void;
  CHANNEL_DATA(self: unknown, recipient: number, data: Buffer): void;
  CHANNEL_WINDOW_ADJUST(self: unknown, recipient: number, amount: number): void;
  CHANNEL_EOF(self: unknown, recipient: number): void;
  CHANNEL_CLOSE(self: unknown, recipient: number): void;
  CHANNEL_REQUEST(self: unknown, recipient: number, type: string, wantReply: boolean, data: unknown): void;
}

/** One server-side SSH transport. Methods throw after {@link cleanup}. */
export interface ServerProtocol {
  start(): void;
  parse(chunk: Uint8Array, offset: number, length: number): void;
  cleanup(): void;
  rekey(): void;
  ping(): void;
  disconnect(reason: number): void;
  serviceAccept(name: string): void;
  authSuccess(): void;
  requestSuccess(data?: Buffer): void;
  requestFailure(): void;
  channelSuccess(peer: number): void;
  channelFailure(peer: number): void;
  channelOpenConfirm(peer: number, local: number, window: number, maxPacket: number): void;
  channelOpenFail(peer: number, reason: number, description: string): void;
  channelData(peer: number, data: Buffer): void;
  channelExtData(peer: number, data: Buffer, type: number): void;
  channelWindowAdjust(peer: number, amount: number): void;
  channelEOF(peer: number): void;
  channelClose(peer: number): void;
  exitStatus(peer: number, status: number): void;
  exitSignal(peer: number, name: string, coreDumped: boolean, message: string): void;
  forwardedTcpip(
    local: number,
    window: number,
    maxPacket: number,
    address: { boundAddr: string; boundPort: number; remoteAddr: string; remotePort: number },
  ): void;
  openssh_forwardedStreamLocal(local: number, window: number, maxPacket: number, address: { socketPath: string }): void;
  openssh_authAgent(local: number, window: number, maxPacket: number): void;
  x11(local: number, window: number, maxPacket: number, origin: { originAddr: string; originPort: number }): void;
}

/** ssh2's fields that show whether a key exchange is in progress and what waits for its end. */
interface ProtocolState {
  readonly _kexinit: unknown;
  readonly _queue: readonly unknown[] | undefined;
  readonly _destruct: unknown;
  readonly _decipher: { readonly copiesInput?: boolean } | undefined;
}

export interface ProtocolOptions {
  readonly hostKeys: HostKeys;
  readonly handlers: MessageHandlers;
  /**
   * Bytes for the peer, which nothing changes any more.
   * @param owned Nothing else reads them either.
   */
  readonly onWrite: (bytes: Buffer, owned: boolean | undefined) => void;
  readonly onError: (error: Error) => void;
  readonly onPacket: () => void;
  /** Called after the first and every later key exchange. */
  readonly onKeyExchanged: () => void;
}

/** Parsed host keys by algorithm. */
export type HostKeys = Readonly<Record<string, unknown>>;

/** Resolves when ssh2's WebAssembly part is ready. */
export const protocolReady: Promise<void> = sshCrypto.init;

export function parseHostKey(key: string | Uint8Array): HostKeys {
  const parsed = keyParser.parseKey(typeof key === "string" ? key : Buffer.from(key));
  const first = Array.isArray(parsed) ? parsed[0] : parsed;
  if (first === undefined || first instanceof Error || first.getPrivatePEM() === null) {
    throw new TypeError("the SSH host key is not a readable private key", { cause: first });
  }
  return { [first.type]: first };
}

export function createServerProtocol(options: ProtocolOptions): ServerProtocol {
  useNativeCiphers();
  const hostKeyTypes = Object.keys(options.hostKeys);
  const protocol = new Protocol({
    server: true,
    ident: "coder-agent",
    hostKeys: options.hostKeys,
    offer: offer(hostKeyTypes),
    onWrite: options.onWrite,
    onError: options.onError,
    onPacket: options.onPacket,
    onHandshakeComplete: options.onKeyExchanged,
    messageHandlers: options.handlers,
  });
  if (hybridKexSupported) useHybridKex(protocol);
  return protocol as ServerProtocol;
}

/** During a key exchange ssh2 queues every message, so no bulk data may be sent. */
export function isExchangingKeys(protocol: ServerProtocol): boolean {
  return state(protocol)._kexinit !== undefined;
}

/** Messages that wait for the end of a key exchange. */
export function queuedMessages(protocol: ServerProtocol): number {
  return state(protocol)._queue?.length ?? 0;
}

/** Whether nothing of a parsed chunk is kept; before the first key exchange ssh2 keeps its messages. */
export function copiesInput(protocol: ServerProtocol): boolean {
  return state(protocol)._decipher?.copiesInput === true;
}

/** The data of a channel message is no longer read. Frees its memory, if the message was its only user. */
export function releaseData(data: Uint8Array): void {
  sshCrypto.releasePayload(data);
}

/** Bytes that a protocol wrote as owned are no longer read. */
export function releaseWritten(bytes: Uint8Array): void {
  sshCrypto.releaseWhole(bytes);
}

function state(protocol: unknown): ProtocolState {
  return protocol as ProtocolState;
}

/** The client's order decides. Here, AES-GCM takes less than half the time of ChaCha20, with or without the native module. */
const CIPHERS = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "chacha20-poly1305@openssh.com",
  "aes128-ctr",
  "aes192-ctr",
  "aes256-ctr",
];

function offer(hostKeyTypes: readonly string[]): unknown {
  const direction = {
    cipher: CIPHERS,
    mac: ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512"],
    // A tunnel gains little from compression, and inflating a client's input has no useful limit.
    compress: ["none"],
    lang: [],
  };
  const made = new kex.KexInit({
    kex: [...OFFERED_KEX, "kex-strict-s-v00@openssh.com"],
    serverHostKey: hostKeyTypes,
    cs: direction,
    sc: direction,
  });
  // The KEXINIT bytes are already built at this point. ssh2 may choose among its own exchanges; the hybrid exchange
  // then replaces its choice.
  made.lists.kex.array = made.lists.kex.array.filter((name) => name !== HYBRID_KEX);
  return made;
}
