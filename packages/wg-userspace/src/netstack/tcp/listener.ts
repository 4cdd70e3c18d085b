import { addMs, type Instant } from "../../base/instant.ts";
import type { AddrPort, IpAddress } from "../../base/ip.ts";
import type { TcpSegment } from "../wire/tcp.ts";
import type { PassiveOpen, TcpConnection } from "./connection.ts";
import type { TcpOptions } from "./options.ts";

/** A SYN waiting for a decision. The SYN-ACK is sent only on accept(); without a decision it ends in RST. */
export interface TcpRequest {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  /** Undefined when the request is over (rejected, timed out, reset by the peer) or the stack is full. */
  accept(options: TcpOptions, now: Instant): TcpConnection | undefined;
  /** Answers with RST. */
  reject(now: Instant): void;
}

export interface TcpRequestHandler {
  /** Called inside handlePacket(); may decide at once or later. */
  onRequest(request: TcpRequest): void;
}

/** The part of the stack that requests use. */
export interface RequestHost {
  acceptRequest(request: PendingRequest, options: TcpOptions, now: Instant): TcpConnection | undefined;
  rejectRequest(request: PendingRequest): void;
}

/** Counts the listener's commitments: undecided requests and unfinished handshakes. */
export class Backlog {
  readonly limit: number;
  readonly handler: TcpRequestHandler;
  pending = 0;

  constructor(handler: TcpRequestHandler, limit: number) {
    this.handler = handler;
    this.limit = limit;
  }
}

export class TcpListener {
  readonly port: number;
  /** Undefined for any of the stack's addresses. */
  readonly address: IpAddress | undefined;
  /** @internal */
  readonly backlog: Backlog;
  readonly #onClose: (listener: TcpListener) => void;

  /** @internal */
  constructor(
    port: number,
    address: IpAddress | undefined,
    backlog: Backlog,
    onClose: (listener: TcpListener) => void,
  ) {
    this.port = port;
    this.address = address;
    this.backlog = backlog;
    this.#onClose = onClose;
  }

  /** No further requests. Existing requests and connections remain. */
  close(): void {
    this.#onClose(this);
  }
}

/** The stack's side of a TcpRequest. Keeps the options of the SYN. */
export class PendingRequest implements TcpRequest, PassiveOpen {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  readonly irs: number;
  readonly window: number;
  readonly mss: number;
  readonly windowScale: number;
  readonly sackPermitted: boolean;
  readonly hasTimestamps: boolean;
  readonly tsValue: number;
  readonly backlog: Backlog;
  readonly deadline: Instant;
  decided = false;
  readonly #host: RequestHost;

  constructor(
    host: RequestHost,
    backlog: Backlog,
    local: AddrPort,
    remote: AddrPort,
    syn: TcpSegment,
    now: Instant,
    timeoutMs: number,
  ) {
    this.#host = host;
    this.backlog = backlog;
    this.local = local;
    this.remote = remote;
    this.irs = syn.seq;
    this.window = syn.window;
    this.mss = syn.mss;
    this.windowScale = syn.windowScale;
    this.sackPermitted = syn.sackPermitted;
    this.hasTimestamps = syn.hasTimestamps;
    this.tsValue = syn.tsValue;
    this.deadline = addMs(now, timeoutMs);
  }

  accept(options: TcpOptions, now: Instant): TcpConnection | undefined {
    return this.decided ? undefined : this.#host.acceptRequest(this, options, now);
  }

  reject(_now: Instant): void {
    if (!this.decided) this.#host.rejectRequest(this);
  }
}
