import type { CryptoSuite, Logger, RandomSource } from "../base/ports.ts";

/** Names one transport connection; chosen by the shell, unique while it lasts. */
export type ConnectionId = number;

export interface RelayLimits {
  /** Data packets that may wait for one connection. */
  readonly dataPackets: number;
  /** Path negotiation (disco) packets that may wait for one connection. */
  readonly discoPackets: number;
  /** Bytes that may wait for one connection, for data and for disco. */
  readonly dataBytes: number;
  readonly discoBytes: number;
  /** Bytes of control frames that may wait for one connection; mesh members get more. */
  readonly controlBytes: number;
  readonly meshControlBytes: number;
  /** Bytes per second one client may send, frame overhead included; undefined for no limit. Excess is dropped. */
  readonly bytesPerSecond: number | undefined;
  readonly bytesBurst: number;
  /** Peers per client that are notified when the client leaves. */
  readonly rememberedPeers: number;
  /** Connections of one key; beyond this the one that was silent longest is closed. */
  readonly connectionsPerKey: number;
}

export const DEFAULT_RELAY_LIMITS: RelayLimits = {
  dataPackets: 512,
  discoPackets: 512,
  dataBytes: 1 << 20,
  discoBytes: 256 * 1024,
  controlBytes: 16 * 1024,
  meshControlBytes: 4 << 20,
  bytesPerSecond: undefined,
  bytesBurst: 2 << 20,
  rememberedPeers: 1024,
  connectionsPerKey: 8,
};

export interface RelayOptions {
  readonly privateKey: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly crypto: CryptoSuite;
  readonly random: RandomSource;
  /**
   * Whether a client may use this relay; called after it proved its key. The key is borrowed. Without it every client
   * may.
   */
  readonly admit?: ((publicKey: Uint8Array) => boolean) | undefined;
  /**
   * Holds a client that is not admitted until the handshake's deadline, in case `admitHeld` comes: clients may reach
   * the relay before the relay learns of their keys. No packet of a held client is relayed.
   */
  readonly holdUnknown?: boolean;
  /** Shared secret of the relays of one region. Without it, or empty, there is no mesh. */
  readonly meshKey?: string | undefined;
  readonly limits?: Partial<RelayLimits> | undefined;
  readonly logger?: Logger;
}

/** Why the relay closed a connection. */
export type RelayCloseReason =
  | "handshake-timeout"
  | "bad-client-info"
  | "not-admitted"
  | "malformed-frame"
  | "frame-too-long"
  | "not-a-mesh-member"
  | "mesh-overflow"
  | "revoked"
  | "too-many-with-key"
  | "closed-by-mesh"
  | "shutdown";

/** Why the relay dropped a packet. */
export type RelayDropReason =
  | "unknown-destination"
  | "queue-head"
  | "queue-full"
  | "rate-limited"
  | "connection-closed"
  | "control-full";

export interface RelayMetrics {
  /** Transport connections now, with and without a finished handshake. */
  connections: number;
  /** Connections now whose client is known. */
  clients: number;
  /** Keys now with more than one connection. */
  duplicateKeys: number;
  /** Connections now that have this relay as their home. */
  homeClients: number;
  accepts: number;
  registrations: number;
  packetsReceived: number;
  bytesReceived: number;
  packetsSent: number;
  bytesSent: number;
  packetsForwardedIn: number;
  packetsForwardedOut: number;
  peerGoneSent: number;
  unknownFrames: number;
  readonly drops: Partial<Record<RelayDropReason, number>>;
  readonly closes: Partial<Record<RelayCloseReason, number>>;
}

/** Receives packets for clients that are connected to another relay of the mesh. */
export interface PacketForwarder {
  /** Everything is borrowed. */
  forwardPacket(source: Uint8Array, destination: Uint8Array, bytes: Uint8Array, offset: number, length: number): void;
}

export function newRelayMetrics(): RelayMetrics {
  return {
    connections: 0,
    clients: 0,
    duplicateKeys: 0,
    homeClients: 0,
    accepts: 0,
    registrations: 0,
    packetsReceived: 0,
    bytesReceived: 0,
    packetsSent: 0,
    bytesSent: 0,
    packetsForwardedIn: 0,
    packetsForwardedOut: 0,
    peerGoneSent: 0,
    unknownFrames: 0,
    drops: {},
    closes: {},
  };
}
