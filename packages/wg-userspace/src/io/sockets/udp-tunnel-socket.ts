import { EngineError } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import { type AddrPort, formatAddrPort, type IpAddress } from "../../base/ip.ts";
import type { Netstack, StrayDatagram, UdpHandler, UdpSendQueue, UdpSocket } from "../../netstack/stack.ts";
import { monotonicNow } from "../host/clock.ts";

/** What these sockets need of a driver. */
export interface TunnelUdpDriver {
  readonly engine: { readonly netstack: Netstack };
  /** Ends a turn soon, so that what was sent leaves. */
  wake(): void;
}

export interface TunnelUdpHandler {
  /** @param payload Borrowed: it is overwritten once the call returns, so copy what is kept. */
  onMessage(payload: Uint8Array, from: AddrPort, to: AddrPort): void;
  /** An address we sent to has no listener, or is unreachable. */
  onUnreachable?(remote: AddrPort): void;
}

export interface TunnelUdpFallbackHandler {
  /** The payload is borrowed. Return false if the port is unreachable, which is reported to the sender. */
  onDatagram(datagram: StrayDatagram): boolean;
  /** An ICMP error answered what was sent from `local` with {@link TunnelUdpFallback.send}. */
  onUnreachable?(local: AddrPort, remote: AddrPort): void;
}

/**
 * Binds a UDP port inside the tunnel; port 0 picks a free one.
 * @throws EngineError ERR_ADDRESS_IN_USE, ERR_ADDRESS_NOT_AVAILABLE, ERR_LIMIT, ERR_INVALID_ARGUMENT.
 */
export function bindTunnelUdp(
  driver: TunnelUdpDriver,
  port: number,
  handler: TunnelUdpHandler,
  options: { readonly address?: IpAddress } = {},
): TunnelUdpSocket {
  return new TunnelUdpSocket(driver, port, handler, options.address);
}

/** Receives the datagrams of all unbound ports. Replaces an earlier fallback. */
export function setTunnelUdpFallback(driver: TunnelUdpDriver, handler: TunnelUdpFallbackHandler): TunnelUdpFallback {
  return new TunnelUdpFallback(driver, handler);
}

/**
 * A bound UDP port inside the tunnel. Datagrams are passed to the handler as they arrive; none waits for a reader. A sent
 * datagram leaves at once or, when this turn's slots are used up, waits in a queue of at most 256 datagrams or 512 KiB. When that
 * is full, or the carrier to this one peer is, the newest datagram is dropped, and `send` says so.
 */
export class TunnelUdpSocket implements Disposable {
  readonly #driver: TunnelUdpDriver;
  readonly #socket: UdpSocket;
  readonly #queue: UdpSendQueue;

  constructor(driver: TunnelUdpDriver, port: number, handler: TunnelUdpHandler, address?: IpAddress) {
    this.#driver = driver;
    const { netstack } = driver.engine;
    this.#queue = netstack.createUdpQueue();
    const core: UdpHandler = {
      onDatagram: (payload, from, to) => handler.onMessage(payload, from, to),
      onUnreachable: (remote) => handler.onUnreachable?.(remote),
    };
    this.#socket = netstack.bindUdp({ port, address }, core);
  }

  /** The bound port. */
  get port(): number {
    return this.#socket.port;
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  /** Datagrams that wait to be sent. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Longest payload towards an address, in bytes. A longer datagram than one packet carries is sent in a few fragments.
   */
  maxPayload(to: AddrPort): number {
    return this.#driver.engine.netstack.maxUdpPayload(to);
  }

  /**
   * Sends one datagram.
   * @param payload Borrowed for the call.
   * @returns false when it was dropped because the queue, or the carrier to this peer, is full.
   * @throws EngineError ERR_CLOSED, ERR_MESSAGE_TOO_LARGE, ERR_ADDRESS_NOT_AVAILABLE (no own address of that family),
   * ERR_INVALID_ARGUMENT.
   */
  send(payload: Uint8Array, to: AddrPort): boolean {
    if (this.#socket.closed) throw new EngineError("ERR_CLOSED", `UDP port ${this.port} of the tunnel is closed`);
    const local = this.#socket.localFor(to.address);
    if (local === undefined)
      throw new EngineError("ERR_ADDRESS_NOT_AVAILABLE", `no own address to reach ${formatAddrPort(to)} from`);
    return sendThrough(this.#driver, this.#queue, local, to, payload);
  }

  /** Gives the port back at once; datagrams that wait are dropped. Safe to call twice. */
  close(): void {
    this.#queue.clear();
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * All unbound ports of the tunnel together: datagrams leave from any of them. The queue is that of {@link
 * TunnelUdpSocket}.
 */
export class TunnelUdpFallback implements Disposable {
  readonly #driver: TunnelUdpDriver;
  readonly #queue: UdpSendQueue;
  #closed = false;

  constructor(driver: TunnelUdpDriver, handler: TunnelUdpFallbackHandler) {
    this.#driver = driver;
    this.#queue = driver.engine.netstack.createUdpQueue();
    driver.engine.netstack.setUdpFallback({
      onDatagram: (datagram) => handler.onDatagram(datagram),
      onUnreachable: (local, remote) => handler.onUnreachable?.(local, remote),
    });
  }

  /** Like {@link TunnelUdpSocket.send}, but from the given port and address of ours. */
  send(payload: Uint8Array, from: AddrPort, to: AddrPort): boolean {
    if (this.#closed) throw new EngineError("ERR_CLOSED", "the UDP ports of the tunnel are closed");
    return sendThrough(this.#driver, this.#queue, from, to, payload);
  }

  /** Answers a datagram that was accepted earlier with ICMP port unreachable after all. */
  refuse(local: AddrPort, remote: AddrPort, payloadLength: number): void {
    if (this.#closed) return;
    this.#driver.engine.netstack.refuseUdp(local, remote, payloadLength, monotonicNow());
    this.#driver.wake();
  }

  /** From now on the ports answer "unreachable". Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.clear();
    this.#driver.engine.netstack.setUdpFallback(undefined);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function sendThrough(
  driver: TunnelUdpDriver,
  queue: UdpSendQueue,
  from: AddrPort,
  to: AddrPort,
  payload: Uint8Array,
  now: Instant = monotonicNow(),
): boolean {
  if (!Number.isInteger(to.port) || to.port < 1 || to.port > 65535)
    throw new EngineError("ERR_INVALID_ARGUMENT", `port ${to.port} is not between 1 and 65535`);
  const result = queue.send(from, to, payload, now);
  if (result === "too-large") {
    const most = driver.engine.netstack.maxUdpPayload(to);
    throw new EngineError(
      "ERR_MESSAGE_TOO_LARGE",
      `a datagram of ${payload.length} bytes to ${formatAddrPort(to)} is over the ${most} bytes that the tunnel carries`,
    );
  }
  driver.wake();
  return result !== "queue-full";
}
