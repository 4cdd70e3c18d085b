import type { DropReason } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import type { AddrPort, IpAddress } from "../../base/ip.ts";
import { checkPort, PortBindings } from "../port-bindings.ts";
import { RST, type TcpSegment } from "../wire/tcp.ts";
import type { TcpConnection } from "./connection.ts";
import { Backlog, PendingRequest, TcpListener, type TcpRequestHandler } from "./listener.ts";
import type { TcpOptions } from "./options.ts";

/** What the backlog uses of the stack. */
export interface SynBacklogHost {
  readonly requestTimeoutMs: number;
  /** Requests that a listener may hold, unless it sets its own limit. */
  readonly backlog: number;
  /** No room for another connection or request. */
  isFull(): boolean;
  /** Requests and connections share the table of four-tuples. */
  addRequest(request: PendingRequest): void;
  removeRequest(request: PendingRequest): void;
  /** Opens the connection of an accepted request. */
  open(request: PendingRequest, options: TcpOptions, now: Instant): TcpConnection;
  /** Answers the SYN of a refused request with RST. */
  refuse(request: PendingRequest): void;
}

/** Without an address, on all of the host's. */
export interface ListenOptions {
  readonly port: number;
  readonly address?: IpAddress | undefined;
  /** Undecided requests that the listener may hold. */
  readonly backlog?: number;
}

/** Listeners, and the SYNs that were received but neither accepted nor refused yet. */
export class SynBacklog {
  readonly #host: SynBacklogHost;
  readonly #listeners = new PortBindings<TcpListener>((port) => `TCP port ${port} has a listener`);
  #fallback: Backlog | undefined;
  /** Undecided, oldest first; all have the same time. */
  readonly #requests = new Set<PendingRequest>();
  readonly #requestHost = {
    acceptRequest: (request: PendingRequest, options: TcpOptions, now: Instant): TcpConnection =>
      this.#accept(request, options, now),
    rejectRequest: (request: PendingRequest): void => this.#refuse(request),
  };

  constructor(host: SynBacklogHost) {
    this.#host = host;
  }

  /** @throws EngineError ERR_ADDRESS_IN_USE, ERR_INVALID_ARGUMENT. */
  listen(options: ListenOptions, handler: TcpRequestHandler): TcpListener {
    const { port, address } = options;
    checkPort(port, 1);
    this.#listeners.check(port, address);
    const backlog = new Backlog(handler, options.backlog ?? this.#host.backlog);
    const listener = new TcpListener(port, address, backlog, (closed) => this.#listeners.remove(closed));
    this.#listeners.add(listener);
    return listener;
  }

  /** Receives the SYNs to ports without a listener. */
  setFallback(handler: TcpRequestHandler | undefined): void {
    this.#fallback = handler === undefined ? undefined : new Backlog(handler, this.#host.backlog);
  }

  /** A SYN that belongs to no connection. "no-socket": no listener, so the caller resets it. */
  handleSyn(local: AddrPort, remote: AddrPort, syn: TcpSegment, now: Instant): DropReason | undefined {
    const backlog = this.#listeners.find(local.port, local.address)?.backlog ?? this.#fallback;
    if (backlog === undefined) return "no-socket";
    if (backlog.pending >= backlog.limit || this.#host.isFull()) return "queue-full";
    const request = new PendingRequest(
      this.#requestHost,
      backlog,
      local,
      remote,
      syn,
      now,
      this.#host.requestTimeoutMs,
    );
    backlog.pending++;
    this.#requests.add(request);
    this.#host.addRequest(request);
    backlog.handler.onRequest(request);
    return undefined;
  }

  /** A later segment of an undecided request. The peer has no answer yet, so only a reset changes anything. */
  handleSegment(request: PendingRequest, segment: TcpSegment): DropReason | undefined {
    if ((segment.flags & RST) === 0) return undefined;
    if (segment.seq !== (request.irs + 1) >>> 0) return "out-of-window";
    this.#end(request);
    request.backlog.pending--;
    return undefined;
  }

  handleTimeout(now: Instant): void {
    for (const request of this.#requests) {
      if (request.deadline > now) break;
      this.#refuse(request);
    }
  }

  nextTimeout(): Instant | undefined {
    for (const request of this.#requests) return request.deadline;
    return undefined;
  }

  /** The handshake takes the request's place in the backlog. */
  #accept(request: PendingRequest, options: TcpOptions, now: Instant): TcpConnection {
    this.#end(request);
    const connection = this.#host.open(request, options, now);
    connection.backlog = request.backlog;
    return connection;
  }

  #refuse(request: PendingRequest): void {
    this.#end(request);
    request.backlog.pending--;
    this.#host.refuse(request);
  }

  #end(request: PendingRequest): void {
    request.decided = true;
    this.#requests.delete(request);
    this.#host.removeRequest(request);
  }
}
