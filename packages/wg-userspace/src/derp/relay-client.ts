import type { Instant } from "../base/instant.ts";
import { FrameDecoder } from "./frame.ts";
import { FrameQueue, type SegmentPool } from "./frame-queue.ts";
import type { RelayPeer } from "./relay-peers.ts";
import type { ConnectionId, RelayLimits } from "./relay-types.ts";
import type { TokenBucket } from "./token-bucket.ts";

/** Frames of the control queue are counted by bytes only. */
const MAX_CONTROL_FRAMES = 1 << 20;

/** State of one transport connection of a relay. Idle ones hold no buffers. */
export class RelayConnectionState {
  readonly id: ConnectionId;
  readonly decoder = new FrameDecoder();
  readonly control: FrameQueue;
  readonly disco: FrameQueue;
  readonly data: FrameQueue;
  readonly keepAliveMs: number;
  /** Who it is; undefined before the handshake is done. */
  peer: RelayPeer | undefined;
  /** It proved a key that may not use the relay yet: everything it sends is skipped until the key is admitted. */
  held: { readonly publicKey: Uint8Array; readonly boxKey: Uint8Array } | undefined;
  isMeshMember = false;
  isHome = false;
  rate: TokenBucket | undefined;
  /** Limits "not here" answers. */
  notHereRate: TokenBucket | undefined;
  /** The handshake's deadline, then the next keepalive. */
  deadline: Instant;
  /** Whether the shell was told that output waits. */
  announced = false;
  /** Waits at most once: further pings are ignored until it is sent. */
  pongWaits = false;
  keepAliveWaits = false;
  packetsReceived = 0;
  packetsSent = 0;

  constructor(id: ConnectionId, limits: RelayLimits, keepAliveMs: number, deadline: Instant, pool: SegmentPool) {
    this.id = id;
    this.control = new FrameQueue(MAX_CONTROL_FRAMES, limits.meshControlBytes, pool);
    this.disco = new FrameQueue(limits.discoPackets, limits.discoBytes, pool);
    this.data = new FrameQueue(limits.dataPackets, limits.dataBytes, pool);
    this.keepAliveMs = keepAliveMs;
    this.deadline = deadline;
  }

  get hasOutput(): boolean {
    return this.control.frames > 0 || this.disco.frames > 0 || this.data.frames > 0;
  }

  /** Memory held beyond this object, in bytes; for tests and metrics. */
  get queuedBytes(): number {
    return this.control.bytes + this.disco.bytes + this.data.bytes;
  }
}
