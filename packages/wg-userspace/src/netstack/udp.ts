import type { Instant } from "../base/instant.ts";
import type { AddrPort, IpAddress } from "../base/ip.ts";

export interface UdpHandler {
  /** @param payload Borrowed for the call. */
  onDatagram(payload: Uint8Array, from: AddrPort, to: AddrPort, now: Instant): void;
  /** An ICMP error answered one of our datagrams to this address. */
  onUnreachable?(remote: AddrPort): void;
}

export type UdpSendResult = "sent" | "too-large" | "no-slot";

/** What a socket needs of the stack. */
export interface UdpHost {
  sendUdp(local: AddrPort, remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult;
  ownAddressFor(remote: IpAddress): IpAddress | undefined;
  closeUdp(socket: UdpSocket): void;
}

/** A bound UDP port. */
export class UdpSocket {
  readonly port: number;
  /** Undefined: any of the stack's addresses. */
  readonly address: IpAddress | undefined;
  readonly handler: UdpHandler;
  readonly #host: UdpHost;
  #closed = false;

  constructor(host: UdpHost, port: number, address: IpAddress | undefined, handler: UdpHandler) {
    this.#host = host;
    this.port = port;
    this.address = address;
    this.handler = handler;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Nothing is queued: a datagram that finds no slot is the caller's to send again, as UDP loses datagrams anyway. */
  send(remote: AddrPort, payload: Uint8Array, now: Instant): UdpSendResult | "no-address" | "closed" {
    if (this.#closed) return "closed";
    const address = this.address ?? this.#host.ownAddressFor(remote.address);
    if (address === undefined || address.length !== remote.address.length) return "no-address";
    return this.#host.sendUdp({ address, port: this.port }, remote, payload, now);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#host.closeUdp(this);
  }
}
