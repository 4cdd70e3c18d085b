import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { RELAYED_CONNECTIONS_PER_CLIENT } from "coder-protocol/tunnel-ports";
import { formatIp } from "wg-userspace/base/ip";
import type { Logger } from "wg-userspace/base/ports";
import { breakOff } from "wg-userspace/io/sockets/break-off";
import { drainInto } from "wg-userspace/io/sockets/drain-into";
import type { TcpRequest } from "wg-userspace/netstack/stack";
import { type PeerShareLimits, PeerShares } from "./peer-shares.ts";

/** A loopback address answers at once or not at all. */
const DIAL_TIMEOUT_MS = 5_000;
const LOOPBACKS = ["127.0.0.1", "::1"] as const;
/** Connections relayed at once, including those being established; further ones are refused. */
const CONNECTIONS: PeerShareLimits = { total: 4096, perPeer: RELAYED_CONNECTIONS_PER_CLIENT };

export interface PortRelayTunnel {
  accept(request: TcpRequest): Duplex | undefined;
  reject(request: TcpRequest): void;
}

/**
 * Offers every TCP port on which a program in the workspace listens. The program is dialled before the SYN is answered, so that a
 * client sees "connection refused" exactly when it would on the workspace itself.
 */
export class PortRelay {
  readonly #tunnel: PortRelayTunnel;
  readonly #logger: Logger;
  readonly #open = new Set<Socket>();
  readonly #shares: PeerShares;

  constructor(tunnel: PortRelayTunnel, logger: Logger, limits = CONNECTIONS) {
    this.#tunnel = tunnel;
    this.#logger = logger;
    this.#shares = new PeerShares(limits);
  }

  get openConnections(): number {
    return this.#open.size;
  }

  handleRequest(request: TcpRequest): void {
    const client = formatIp(request.remote.address);
    if (!this.#shares.take(client)) {
      this.#logger.log("warn", "too many relayed connections, refusing one", { port: request.local.port, client });
      this.#tunnel.reject(request);
      return;
    }
    void this.#relay(request).finally(() => this.#shares.release(client));
  }

  close(): void {
    for (const socket of this.#open) breakOff(socket);
  }

  async #relay(request: TcpRequest): Promise<void> {
    const socket = await dialLoopback(request.local.port);
    if (socket === undefined) {
      this.#tunnel.reject(request);
      return;
    }
    const stream = this.#tunnel.accept(request);
    if (stream === undefined) {
      socket.destroy();
      return;
    }
    this.#open.add(socket);
    try {
      await Promise.all([drainInto(socket, stream), drainInto(stream, socket)]);
    } catch (error) {
      this.#logger.log("debug", "relayed connection ended", { port: request.local.port, error: String(error) });
    } finally {
      socket.destroy();
      stream.destroy();
      this.#open.delete(socket);
    }
  }
}

/** IPv4 first, as most servers listen there; undefined when neither loopback address answers. */
async function dialLoopback(port: number): Promise<Socket | undefined> {
  for (const host of LOOPBACKS) {
    const socket = await dial(host, port);
    if (socket !== undefined) return socket;
  }
  return undefined;
}

function dial(host: string, port: number): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(() => socket.destroy(new Error("timed out")), DIAL_TIMEOUT_MS);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", refused);
      resolve(socket);
    });
    const refused = (): void => {
      clearTimeout(timer);
      resolve(undefined);
    };
    socket.once("error", refused);
  });
}
