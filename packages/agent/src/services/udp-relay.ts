import { createSocket, type Socket } from "node:dgram";
import { EngineError } from "wg-userspace/base/errors";
import { type AddrPort, formatAddrPort, formatIp } from "wg-userspace/base/ip";
import type { Logger } from "wg-userspace/base/ports";
import type { StrayDatagram } from "wg-userspace/netstack/stack";
import { type PeerShareLimits, PeerShares } from "./peer-shares.ts";

const LOOPBACK = "127.0.0.1";
/**
 * A flow without datagrams in either direction for this long ends. RFC 4787 §4.3 requires more of NATs, but here a new flow costs
 * nothing: nothing in between remembers the old one.
 */
const IDLE_MS = 60_000;
/** Flows at the same time; each is a socket of the workspace. */
const FLOWS: PeerShareLimits = { total: 1024, perPeer: 768 };
/** Datagrams of one flow that the host's socket has not accepted yet. */
const MAX_UNSENT = 64;

export interface UdpRelayTunnel {
  /** False when the datagram was dropped because the tunnel is busy. Throws EngineError ERR_MESSAGE_TOO_LARGE. */
  send(payload: Uint8Array, from: AddrPort, to: AddrPort): boolean;
  /** Reports to the sender that no program listens on the port. */
  refuse(local: AddrPort, remote: AddrPort, payloadLength: number): void;
}

export interface UdpRelayOptions {
  readonly idleMs?: number;
  readonly flows?: PeerShareLimits;
}

/**
 * Offers every UDP port on which a program in the workspace listens at 127.0.0.1. Datagrams from one client address and port to
 * one port are a flow with a host socket of its own, so that the program sees different clients as different senders, and its
 * answers find the way back. A flow ends when it has been idle for 60 s, when no program listens on the port (which is reported
 * to the client), when the client no longer listens, or when there are too many, in total or of one client: the longest idle of
 * them ends.
 */
export class UdpRelay {
  readonly #tunnel: UdpRelayTunnel;
  readonly #logger: Logger;
  readonly #idleMs: number;
  readonly #shares: PeerShares;
  /** In order of last use, oldest first. */
  readonly #flows = new Map<string, Flow>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tunnel: UdpRelayTunnel, logger: Logger, options: UdpRelayOptions = {}) {
    this.#tunnel = tunnel;
    this.#logger = logger;
    this.#idleMs = options.idleMs ?? IDLE_MS;
    this.#shares = new PeerShares(options.flows ?? FLOWS);
  }

  get openFlows(): number {
    return this.#flows.size;
  }

  /** One datagram from the tunnel; borrowed. */
  handleDatagram(datagram: StrayDatagram): void {
    const { local, remote } = datagram;
    const key = keyOf(local, remote);
    const flow = this.#flows.get(key) ?? this.#open(key, local, remote);
    this.#touch(key, flow);
    if (!flow.send(datagram.payload)) this.#logger.log("debug", "datagram dropped: its program is slow", names(flow));
  }

  /** The client reported that it no longer listens. */
  handleUnreachable(local: AddrPort, remote: AddrPort): void {
    this.#end(keyOf(local, remote), "its client is gone");
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const key of [...this.#flows.keys()]) this.#end(key, "the agent ends");
  }

  #open(key: string, local: AddrPort, remote: AddrPort): Flow {
    const client = formatIp(remote.address);
    while (!this.#shares.take(client)) this.#endOldest(this.#shares.hasWholeShare(client) ? client : undefined);
    const flow: Flow = new Flow(local, remote, {
      onMessage: (payload) => {
        this.#touch(key, flow);
        this.#answer(flow, payload);
      },
      onError: (error, lastLength) => {
        // Another flow may have taken its place.
        if (this.#flows.get(key) === flow) this.#end(key, error.message);
        else flow.close();
        if ((error as NodeJS.ErrnoException).code === "ECONNREFUSED") this.#tunnel.refuse(local, remote, lastLength);
      },
    });
    this.#logger.log("debug", "UDP flow opened", names(flow));
    return flow;
  }

  /** @param client If given, only this client's flows are considered. */
  #endOldest(client: string | undefined): void {
    for (const [key, { remote }] of this.#flows) {
      if (client !== undefined && formatIp(remote.address) !== client) continue;
      this.#end(key, "too many flows");
      return;
    }
  }

  #answer(flow: Flow, payload: Uint8Array): void {
    try {
      if (!this.#tunnel.send(payload, flow.local, flow.remote))
        this.#logger.log("debug", "answer dropped, the tunnel is busy", names(flow));
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      // On a real interface the program would learn the MTU, but on loopback it sends any size.
      this.#logger.log("debug", "answer dropped", { ...names(flow), error: error.message });
    }
  }

  #touch(key: string, flow: Flow): void {
    flow.usedAt = performance.now();
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    if (this.#timer === undefined) this.#arm(this.#idleMs);
  }

  #arm(ms: number): void {
    this.#timer = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(ms)));
    this.#timer.unref();
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [key, flow] of this.#flows) {
      const leftMs = flow.usedAt + this.#idleMs - now;
      if (leftMs > 0) {
        this.#arm(leftMs);
        return;
      }
      this.#end(key, "idle");
    }
  }

  #end(key: string, reason: string): void {
    const flow = this.#flows.get(key);
    if (flow === undefined) return;
    this.#flows.delete(key);
    this.#shares.release(formatIp(flow.remote.address));
    flow.close();
    this.#logger.log("debug", "UDP flow ended", { ...names(flow), reason });
  }
}

interface FlowEvents {
  onMessage(payload: Uint8Array): void;
  /** @param lastLength Bytes of the last datagram sent. */
  onError(error: Error, lastLength: number): void;
}

/** One client's datagrams to one port: a connected host socket, which receives only from that port and learns of refusals. */
class Flow {
  readonly local: AddrPort;
  readonly remote: AddrPort;
  usedAt = 0;
  readonly #socket: Socket;
  /** Datagrams waiting for the socket to be connected. */
  #waiting: Uint8Array[] | undefined = [];
  #unsent = 0;
  #lastLength = 0;
  #closed = false;
  readonly #events: FlowEvents;

  constructor(local: AddrPort, remote: AddrPort, events: FlowEvents) {
    this.local = local;
    this.remote = remote;
    this.#events = events;
    this.#socket = createSocket("udp4");
    this.#socket.on("message", (payload) => events.onMessage(payload));
    this.#socket.on("error", (error) => this.#failed(error));
    this.#socket.on("connect", () => {
      const waiting = this.#waiting ?? [];
      this.#waiting = undefined;
      for (const payload of waiting) this.#transmit(payload);
    });
    this.#socket.connect(local.port, LOOPBACK);
  }

  /**
   * @param payload Borrowed.
   * @returns False when it was dropped.
   */
  send(payload: Uint8Array): boolean {
    if ((this.#waiting?.length ?? this.#unsent) >= MAX_UNSENT) return false;
    const copy = payload.slice();
    if (this.#waiting !== undefined) this.#waiting.push(copy);
    else this.#transmit(copy);
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = [];
    this.#socket.close();
  }

  #transmit(payload: Uint8Array): void {
    if (this.#closed) return;
    this.#lastLength = payload.length;
    this.#unsent++;
    this.#socket.send(payload, (error) => {
      this.#unsent--;
      if (error !== null) this.#failed(error);
    });
  }

  #failed(error: Error): void {
    if (!this.#closed) this.#events.onError(error, this.#lastLength);
  }
}

function keyOf(local: AddrPort, remote: AddrPort): string {
  return `${formatAddrPort(local)} ${formatAddrPort(remote)}`;
}

function names(flow: Flow): { port: number; client: string } {
  return { port: flow.local.port, client: formatAddrPort(flow.remote) };
}
