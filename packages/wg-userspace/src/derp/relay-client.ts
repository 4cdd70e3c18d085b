import type { Instant } from "../base/instant.ts";
import type { TokenBucket } from "../base/token-bucket.ts";
import { FrameDecoder } from "./frame.ts";
import { FrameQueue, type SegmentPool } from "./frame-queue.ts";
import type { RelayPeer } from "./relay-peers.ts";
import type { ConnectionId, RelayLimits } from "./relay-types.ts";

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
  /** Undefined before the handshake is done. */
  peer: RelayPeer<RelayConnectionState> | undefined;
  /** Set while the client's key is proven but not admitted: what it sends is skipped. */
  held: { readonly publicKey: Uint8Array; readonly boxKey: Uint8Array } | undefined;
  isMeshMember = false;
  isHome = false;
  rate: TokenBucket | undefined;
  /** Limits "not here" answers. */
  notHereRate: TokenBucket | undefined;
  /** The handshake's deadline, then the next keepalive. */
  deadline: Instant;
  /** Whether the shell has been notified of waiting output. */
  announced = false;
  /** A pong waits to be sent: further pings are ignored until then. */
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

  /** Memory held beyond this object, in bytes; for tests and metrics. */
  get queuedBytes(): number {
    return this.control.bytes + this.disco.bytes + this.data.bytes;
  }
}
