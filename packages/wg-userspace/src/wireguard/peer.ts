import { copyBytes, wipe } from "../base/bytes.ts";
import type { Deadlined, DeadlineHeap } from "../base/deadline-heap.ts";
import type { Instant } from "../base/instant.ts";
import type { IpPrefix } from "../base/ip.ts";
import { keyId, type NodePublicKey } from "../base/keys.ts";
import type { CryptoSuite } from "../base/ports.ts";
import { KEY_LENGTH, MIN_PERSISTENT_KEEPALIVE } from "./constants.ts";
import { CookieJar } from "./cookie.ts";
import type { InitiatorHandshake } from "./handshake.ts";
import { type Keypair, Keypairs, type MessageLimits } from "./keypair.ts";
import { PeerTimers } from "./peer-timers.ts";
import { type StagingBudget, StagingQueue } from "./staging-queue.ts";
import { TimestampGuard, TimestampSource } from "./tai64n.ts";

/** What a receiver index of ours names: a handshake in progress, later the keypair that came of it. */
export interface Receiver {
  readonly peer: Peer;
  keypair: Keypair | undefined;
}

/** Initiation times in both directions. They outlive the peer: see Device.removePeer. */
export interface PeerTimestamps {
  readonly sent: TimestampSource;
  readonly received: TimestampGuard;
}

export function newPeerTimestamps(): PeerTimestamps {
  return { sent: new TimestampSource(), received: new TimestampGuard() };
}

/** The part of the device that its peers use. */
export interface PeerContext {
  /** {@link keyId} of the device. */
  readonly ownKeyId: string;
  readonly crypto: CryptoSuite;
  readonly limits: MessageLimits;
  readonly deadlines: DeadlineHeap<Peer>;
  readonly stagingBudget: StagingBudget;
  /** Forgets the index of a replaced keypair. */
  readonly keypairDropped: (keypair: Keypair) => void;
}

/**
 * One peer of a {@link Device}: its configuration, its sessions, and its staged packets. The device acts on it; users
 * read the first part and set `attachment`.
 */
export class Peer implements Deadlined {
  readonly publicKey: NodePublicKey;
  /** {@link keyId} of the public key. */
  readonly keyId: string;
  /**
   * Its allowed source addresses, which are also routed to it. A prefix that another peer gets later disappears here.
   */
  allowedIPs: readonly IpPrefix[] = [];
  /** Bytes of inner packets, without padding. */
  rxBytes = 0;
  txBytes = 0;
  /** When the last handshake completed, as seen by this side. */
  lastHandshakeAt: Instant | undefined;
  /** Last authenticated message of any kind. */
  lastReceivedAt: Instant | undefined;
  /** For the device's user; never touched here. */
  attachment: unknown = undefined;

  // The rest is for the device only.
  readonly keypairs: Keypairs;
  readonly timers = new PeerTimers();
  readonly staged: StagingQueue;
  readonly cookies: CookieJar;
  readonly timestamps: PeerTimestamps;
  readonly presharedKey = new Uint8Array(KEY_LENGTH);
  handshake: InitiatorHandshake | undefined;
  handshakeAttempts = 0;
  lastHandshakeSentAt: Instant | undefined;
  sentLastMinuteHandshake = false;
  removed = false;
  heapIndex = -1;
  heapAt: number = Number.POSITIVE_INFINITY;
  /** Computed with the first handshake: undefined before, and `secret` is undefined when it is all zero. */
  #staticSecret: { readonly secret: Uint8Array | undefined } | undefined;
  readonly #context: PeerContext;

  constructor(publicKey: NodePublicKey, timestamps: PeerTimestamps, context: PeerContext) {
    this.publicKey = copyBytes(publicKey) as NodePublicKey;
    this.keyId = keyId(publicKey);
    this.timestamps = timestamps;
    this.#context = context;
    this.keypairs = new Keypairs(context.ownKeyId < this.keyId, context.keypairDropped);
    this.staged = new StagingQueue(context.stagingBudget);
    this.cookies = new CookieJar(context.crypto, publicKey);
  }

  /** Whether data can be sent at once. */
  hasSession(now: Instant): boolean {
    return this.sendingKeypair(now) !== undefined;
  }

  /**
   * @param ms Interval of keepalives that are sent unconditionally; undefined or 0 disables them. Values below one
   * second mean one second. Enabling makes the first one due at once.
   */
  setPersistentKeepalive(ms: number | undefined, now: Instant): void {
    const interval = ms === undefined || ms <= 0 ? undefined : Math.max(ms, MIN_PERSISTENT_KEEPALIVE);
    this.timers.setPersistentKeepalive(interval, now);
    this.deadlinesChanged();
  }

  sendingKeypair(now: Instant): Keypair | undefined {
    const { current } = this.keypairs;
    return current?.canSend(now, this.#context.limits) ? current : undefined;
  }

  /** X25519 of both static keys, computed once. Undefined when all zero. */
  staticSecret(privateKey: Uint8Array): Uint8Array | undefined {
    this.#staticSecret ??= { secret: this.#context.crypto.sharedSecret(privateKey, this.publicKey) };
    return this.#staticSecret.secret;
  }

  nextTimeout(): number {
    return this.timers.nextTimeout();
  }

  /** Must be called after arming a timer. */
  deadlinesChanged(): void {
    if (!this.removed) this.#context.deadlines.update(this);
  }

  /** Wipes every secret. The peer must not be used afterwards. */
  wipe(): void {
    this.handshake?.wipe();
    this.handshake = undefined;
    this.keypairs.wipeAll();
    this.cookies.wipe();
    wipe(this.presharedKey);
    if (this.#staticSecret?.secret !== undefined) wipe(this.#staticSecret.secret);
    this.#staticSecret = { secret: undefined };
  }
}
