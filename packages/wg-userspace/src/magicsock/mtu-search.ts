import { addMs, type Instant } from "../base/instant.ts";
import { DISCO_PADDED_BYTES } from "../disco/message.ts";

/** Inner packet size that every usable path carries. */
export const BASE_MTU = 1280;
/** Header and tag of a transport message: what a full inner packet has around it inside its datagram. */
const WIREGUARD_BYTES = 32;
/** Inside WireGuard over IPv6 on plain Ethernet. */
export const ETHERNET_MTU = 1420;
/** Inside WireGuard over IPv6 with jumbo frames of 9000 bytes: data centres. */
export const JUMBO_MTU = 8920;
/** Inside WireGuard over IPv6 on the loopback interface of Linux, whose own MTU is 65536. */
export const LOOPBACK_MTU = 65456;
/** Sizes above the base that are worth trying, largest first: Ethernet, PPPoE and common tunnels. */
const SIZES = [ETHERNET_MTU, 1400, 1340];
/** Each is tried only where the one before was answered, so that on most paths nothing waits for probes of it. */
const LARGE_SIZES = [ETHERNET_MTU, JUMBO_MTU, LOOPBACK_MTU];
/**
 * The largest size is of use to bulk data alone, and a ping of it takes 2 ms to seal and as long to open: it waits for so many
 * packets with data between two heartbeats.
 */
const BULK_PACKETS = 128;
const PROBE_TIMEOUT_MS = 1_000;
const TRIES = 2;
/** A path is measured again after this. */
const AGAIN_MS = 10 * 60_000;
/** A path that lost larger packets which it had carried is measured again after this. */
const AFTER_LOSS_MS = 60_000;
/**
 * Larger confirmation pings that are lost in a row, while ordinary ones are answered, before larger packets are given
 * up.
 */
const MAX_MISSES = 2;

/**
 * Looks for the largest inner packet that the path in use carries, by padded pings, and notices when it stops carrying it.
 * Starts at 1280; a size counts only after a ping of that size was answered.
 */
export class MtuSearch {
  readonly #maxMtu: number;
  #sizes: readonly number[] = [];
  #mtu = BASE_MTU;
  #index = 0;
  #tries = 0;
  #probeBytes = 0;
  #misses = 0;
  /** A heartbeat of the large size is under way. */
  #largeBeat = false;
  /** Bulk data has left for the peer. */
  #bulk = false;
  nextProbeAt: Instant | undefined;

  constructor(maxMtu: number) {
    this.#maxMtu = maxMtu;
  }

  get mtu(): number {
    return this.#mtu;
  }
  /** 0 when nothing beyond the base was confirmed. */
  get confirmed(): number {
    return this.#mtu === BASE_MTU ? 0 : this.#mtu;
  }
  /** Length of the next confirmation ping. */
  get heartbeatBytes(): number {
    if (this.#mtu === BASE_MTU) return DISCO_PADDED_BYTES;
    this.#largeBeat = true;
    return this.#mtu + WIREGUARD_BYTES;
  }

  /** The same, where no flow would lose anything: then the largest size is not confirmed. */
  beatBytes(flows: boolean): number {
    return flows || this.#mtu <= JUMBO_MTU ? this.heartbeatBytes : DISCO_PADDED_BYTES;
  }

  /**
   * Called per packet with data.
   * @param packets How many there were since the last heartbeat.
   * @returns whether a probe is due from now on that was not before.
   */
  noteData(packets: number, now: Instant): boolean {
    if (packets !== BULK_PACKETS || this.#bulk) return false;
    this.#bulk = true;
    if (this.#mtu !== JUMBO_MTU) return false; // the search goes on when that is reached
    this.#start(now);
    return this.nextProbeAt !== undefined;
  }

  /** Whether a ping of that length is of a size that the path in use is taken to carry. */
  isOrdinary(payloadBytes: number): boolean {
    return (
      payloadBytes >= DISCO_PADDED_BYTES && payloadBytes <= Math.max(DISCO_PADDED_BYTES, this.#mtu + WIREGUARD_BYTES)
    );
  }

  /** Another path is in use. @param known What it was seen to carry; 0 for unknown. */
  pathChanged(known: number, now: Instant): void {
    this.#mtu = Math.max(BASE_MTU, known);
    this.#misses = 0;
    this.#largeBeat = false;
    this.#start(now);
  }

  /** Bytes of the ping to send now; undefined when there is nothing to try. Moves to the next size after enough tries. */
  probe(now: Instant): number | undefined {
    if (this.#tries >= TRIES) {
      this.#index++;
      this.#tries = 0;
    }
    const size = this.#sizes[this.#index];
    if (size === undefined || size <= this.#mtu) {
      this.#rest(now, AGAIN_MS);
      return undefined;
    }
    this.#tries++;
    this.#probeBytes = size + WIREGUARD_BYTES;
    this.nextProbeAt = addMs(now, PROBE_TIMEOUT_MS);
    return this.#probeBytes;
  }

  /** A ping of `payloadBytes` was answered. @returns whether the MTU changed. */
  answered(payloadBytes: number, now: Instant): boolean {
    const size = payloadBytes - WIREGUARD_BYTES;
    if (size > this.#mtu) {
      if (payloadBytes !== this.#probeBytes) return false;
      this.#mtu = size;
      this.#misses = 0;
      if (LARGE_SIZES.includes(size)) this.#start(now);
      else this.#rest(now, AGAIN_MS);
      return true;
    }
    if (this.#mtu === BASE_MTU) return false;
    if (size === this.#mtu) {
      this.#misses = 0;
      this.#largeBeat = false;
      return false;
    }
    if (!this.#largeBeat) return false;
    this.#largeBeat = false;
    if (++this.#misses < MAX_MISSES) return false;
    this.#mtu = BASE_MTU;
    this.#misses = 0;
    this.#rest(now, AFTER_LOSS_MS);
    return true;
  }

  #start(now: Instant): void {
    this.#index = 0;
    this.#tries = 0;
    this.#probeBytes = 0;
    const sizes = this.#mtu < ETHERNET_MTU ? SIZES : nextLarge(this.#mtu);
    const limit = this.#bulk ? this.#maxMtu : Math.min(this.#maxMtu, JUMBO_MTU);
    this.#sizes = sizes.filter((size) => size <= limit);
    this.nextProbeAt = this.#sizes.length === 0 ? undefined : now;
  }

  #rest(now: Instant, ms: number): void {
    this.#start(now);
    this.nextProbeAt = this.#sizes.length === 0 ? undefined : addMs(now, ms);
  }
}

/** The one size to try on a path that carries Ethernet's or more. */
function nextLarge(mtu: number): readonly number[] {
  return LARGE_SIZES.filter((size) => size > mtu).slice(0, 1);
}
