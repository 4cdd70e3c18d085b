import { copyBytes } from "../base/bytes.ts";
import type { Instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";

export interface UdpHandler {
  /** @param payload Borrowed for the call. */
  onDatagram(payload: Uint8Array, from: AddrPort, to: AddrPort, now: Instant): void;
  /** An ICMP error answered one of our datagrams to this address. */
  onUnreachable?(remote: AddrPort): void;
}

export type UdpSendResult = "sent" | "too-large" | "no-slot";

/** The part of the stack that a socket uses. */
export interface UdpHost {
  sendUdp(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult;
  ownAddressFor(remote: IpAddress): IpAddress | undefined;
  closeUdp(socket: UdpSocket): void;
}

/** A bound UDP port. */
export class UdpSocket {
  readonly port: number;
  /** Undefined for any of the stack's addresses. */
  readonly address: IpAddress | undefined;
  readonly handler: UdpHandler;
  readonly #host: UdpHost;
  #closed = false;

  /** @internal */
  constructor(host: UdpHost, port: number, address: IpAddress | undefined, handler: UdpHandler) {
    this.#host = host;
    this.port = port;
    this.address = address;
    this.handler = handler;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /**
   * Nothing is queued: retrying a datagram that finds no slot is up to the caller, since UDP loses datagrams anyway.
   */
  send(remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult | "no-address" | "closed" {
    if (this.#closed) return "closed";
    const local = this.localFor(remote.address);
    return local === undefined ? "no-address" : this.#host.sendUdp(local, remote, payload, now);
  }

  /** Source address of datagrams to this address; undefined when we have no address of its family. */
  localFor(remote: IpAddress): AddrPort | undefined {
    const address = this.address ?? this.#host.ownAddressFor(remote);
    return address === undefined || address.length !== remote.length ? undefined : { address, port: this.port };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.closeUdp(this);
  }
}

/** Datagrams and bytes that one queue holds. */
export const UDP_QUEUE_DATAGRAMS = 256;
export const UDP_QUEUE_BYTES = 512 * 1024;

/**
 * What became of a datagram. `too-large`: over the path's MTU. `queue-full`: no room left, here or in the carrier to
 * that peer.
 */
export type UdpQueueResult = "sent" | "queued" | "too-large" | "queue-full";

/** The part of the stack that a queue uses. */
export interface UdpQueueHost {
  /** `carrier-full`: the layer below holds enough for that peer; other peers continue. */
  sendUdp(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult | "carrier-full";
  /** The queue has something to send as soon as there is a slot. */
  udpWaiting(queue: UdpSendQueue): void;
}

interface QueuedDatagram {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  readonly payload: Uint8Array;
}

/**
 * Holds datagrams that found no slot until the stack's next flush, in order and within bounds. When it is full the newest is
 * refused: those that wait are copied already, and the caller learns of the refusal. Datagrams to a peer whose carrier is full do
 * not wait, since they would delay those to all others.
 */
export class UdpSendQueue {
  readonly #host: UdpQueueHost;
  #waiting: QueuedDatagram[] = [];
  #head = 0;
  #bytes = 0;

  /** @internal */
  constructor(host: UdpQueueHost) {
    this.#host = host;
  }

  /** Datagrams that wait. */
  get length(): number {
    return this.#waiting.length - this.#head;
  }

  /** @param payload Borrowed; copied if it must wait. */
  send(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpQueueResult {
    if (this.length === 0) {
      const result = this.#host.sendUdp(local, remote, payload, now);
      if (result === "carrier-full") return "queue-full";
      if (result !== "no-slot") return result;
    }
    if (this.length >= UDP_QUEUE_DATAGRAMS || this.#bytes + payload.length > UDP_QUEUE_BYTES) return "queue-full";
    this.#waiting.push({ local, remote, payload: copyBytes(payload) });
    this.#bytes += payload.length;
    if (this.length === 1) this.#host.udpWaiting(this);
    return "queued";
  }

  /** For the stack: sends up to `limit` datagrams. Returns false when it stopped for lack of a slot. */
  drain(limit: number, now: Instant): boolean {
    for (let i = 0; i < limit && this.length > 0; i++) {
      const { local, remote, payload } = this.#waiting[this.#head]!;
      // Too large by now, or its carrier is full: it is lost, as on any such path.
      if (this.#host.sendUdp(local, remote, payload, now) === "no-slot") return false;
      this.#head++;
      this.#bytes -= payload.length;
    }
    this.#waiting.splice(0, this.#head);
    this.#head = 0;
    return true;
  }

  /** Forgets what waits. */
  clear(): void {
    this.#waiting = [];
    this.#head = this.#bytes = 0;
  }
}
