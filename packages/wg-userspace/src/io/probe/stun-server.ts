import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { once } from "../../async/abort.ts";
import { EngineError } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import { parseIp } from "../../base/ip.ts";
import type { RandomSource } from "../../base/ports.ts";
import { StunServer, type StunServerCounts, type StunServerLimits } from "../../stun/server.ts";
import { monotonicNow } from "../host/clock.ts";

/** Answers that the kernel has not taken yet; more are dropped, since the clients send their requests again. */
const MAX_WAITING = 256;

export interface StunListenerOptions {
  /** Address or name to bind; "" for every address of both families. */
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly random: RandomSource;
  readonly clock?: () => Instant;
  readonly limits?: Partial<StunServerLimits>;
  /** The socket failed and is closed: no request is answered any more. */
  readonly onError?: (error: EngineError) => void;
}

/** A STUN server on one UDP socket. Owns the socket until closed. */
export class StunListener implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #server: StunServer;
  readonly #clock: () => Instant;
  readonly port: number;
  #closed: Promise<void> | undefined;
  #notTaken = 0;

  /** Rejects with ERR_ADDRESS_IN_USE, ERR_PERMISSION_DENIED, ERR_ADDRESS_NOT_AVAILABLE, ERR_NAME_NOT_FOUND or ERR_IO. */
  static async open(options: StunListenerOptions): Promise<StunListener> {
    const { host, port } = options;
    if (host !== "") return new StunListener(await bindHost(host, port), options);
    try {
      return new StunListener(await bind("udp6", "::", port), options);
    } catch (error) {
      if (!(error instanceof EngineError) || error.code !== "ERR_ADDRESS_NOT_AVAILABLE") throw error;
      return new StunListener(await bind("udp4", "0.0.0.0", port), options); // a machine without IPv6
    }
  }

  private constructor(socket: Socket, options: StunListenerOptions) {
    this.#socket = socket;
    this.#clock = options.clock ?? monotonicNow;
    this.port = socket.address().port;
    this.#server = new StunServer({
      seed: options.random.uint32(),
      limits: options.limits,
    });
    socket.on("message", (datagram, from) => this.#received(datagram, from));
    socket.on("error", (error) => {
      void this.close();
      options.onError?.(
        new EngineError("ERR_IO", `STUN on UDP port ${this.port} failed: ${error.message}`, { cause: error }),
      );
    });
  }

  get counts(): StunServerCounts {
    return this.#server.counts;
  }

  /** Answers dropped because the kernel had not taken earlier ones. */
  get notTaken(): number {
    return this.#notTaken;
  }

  /** Safe to call twice. */
  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => this.#socket.close(() => resolve()));
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #received(datagram: Uint8Array, from: RemoteInfo): void {
    const address = parseIp(plain(from.address));
    if (address === undefined) return;
    const answer = this.#server.handle(datagram, { address, port: from.port }, this.#clock());
    if (answer === undefined || this.#closed !== undefined) return;
    if (this.#socket.getSendQueueCount() >= MAX_WAITING) {
      this.#notTaken++;
      return;
    }
    // The callback takes errors such as an unreachable network: to the client they are a lost datagram.
    this.#socket.send(answer, from.port, from.address, (error) => {
      if (error !== null) this.#notTaken++;
    });
  }
}

async function bindHost(host: string, port: number): Promise<Socket> {
  let address = host;
  if (isIP(host) === 0) {
    try {
      address = (await lookup(host)).address;
    } catch (error) {
      throw new EngineError("ERR_NAME_NOT_FOUND", `the name "${host}" has no address`, { cause: error });
    }
  }
  return bind(isIP(address) === 6 ? "udp6" : "udp4", address, port);
}

async function bind(family: "udp4" | "udp6", address: string, port: number): Promise<Socket> {
  // Answers go to literal addresses, some with a zone: the lookup returns them as they are, synchronously.
  const socket = createSocket({
    type: family,
    lookup: (hostname, _options, done) => done(null, hostname, family === "udp6" ? 6 : 4),
  });
  const bound = once(socket, "listening"); // the lookup answers synchronously, so bind() itself emits "listening"
  socket.bind({ port, address });
  try {
    await bound;
    return socket;
  } catch (error) {
    socket.close();
    throw bindError(error as NodeJS.ErrnoException, port);
  }
}

function bindError(error: NodeJS.ErrnoException, port: number): EngineError {
  const options = { cause: error };
  switch (error.code) {
    case "EADDRINUSE":
      return new EngineError("ERR_ADDRESS_IN_USE", `another program uses UDP port ${port}`, options);
    case "EACCES":
    case "EPERM":
      return new EngineError("ERR_PERMISSION_DENIED", `this user may not use UDP port ${port}`, options);
    case "EADDRNOTAVAIL":
    case "EAFNOSUPPORT":
    case "EINVAL":
      return new EngineError("ERR_ADDRESS_NOT_AVAILABLE", "this machine does not have that address", options);
    default:
      return new EngineError("ERR_IO", `cannot bind UDP port ${port}: ${error.code ?? error.message}`, options);
  }
}

/** The address without the prefix that a dual-stack socket adds to IPv4, and without the zone of a link-local one. */
function plain(address: string): string {
  const zone = address.indexOf("%");
  const text = zone < 0 ? address : address.slice(0, zone);
  return text.startsWith("::ffff:") && text.includes(".") ? text.slice("::ffff:".length) : text;
}
