import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Logger } from "wg-userspace/base/ports";
import { breakOff } from "wg-userspace/io/sockets/break-off";
import { drainInto } from "wg-userspace/io/sockets/drain-into";
import type { ForwardPlaces } from "./forward-places.ts";
import { listenAddresses, listenFailure } from "./listen.ts";
import { type ForwardSpec, type ForwardTarget, formatEnd } from "./spec.ts";

export interface TcpForwardOptions {
  readonly spec: ForwardSpec;
  /** The target's name in messages; default: its address. */
  readonly targetName?: string | undefined;
  /** Connects in the workspace. Rejects with a message for the user, or when the signal aborts. */
  readonly dial: (target: ForwardTarget, signal: AbortSignal) => Promise<Duplex>;
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** Shared by all forwards of a command; a connection that gets no place is reset. */
  readonly places: ForwardPlaces;
}

/** Listens on this machine and passes every connection to the workspace. */
export class TcpForward {
  readonly #options: TcpForwardOptions;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #stop = new AbortController();

  constructor(options: TcpForwardOptions) {
    this.#options = options;
  }

  get openConnections(): number {
    return this.#sockets.size;
  }

  /** The port, known once it listens. */
  get port(): number {
    const address = this.#servers[0]?.address();
    return typeof address === "object" && address !== null ? address.port : this.#options.spec.port;
  }

  /** The addresses, known once it listens. */
  get hosts(): readonly string[] {
    return this.#servers.map((server) => (server.address() as AddressInfo).address);
  }

  /** Resolves when it listens. Rejects with a UserError that names the address; then nothing listens. */
  async start(): Promise<void> {
    const { spec, say } = this.#options;
    for (const { host, required } of listenAddresses(spec.bind)) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
      server.listen({ host, port: spec.port });
      try {
        await once(server, "listening");
      } catch (error) {
        if (!required) {
          this.#options.logger.log("debug", "not listening", { host, port: spec.port, error: String(error) });
          continue;
        }
        this.close();
        throw listenFailure("tcp", host, spec.port, error as Error);
      }
      this.#servers.push(server);
      server.on("connection", (socket) => void this.#relay(socket));
      server.on("error", (error) => {
        say(`Accepting on ${formatEnd("tcp", host, spec.port)} failed, the listener is closed: ${error.message}`);
        server.close();
      });
    }
  }

  /** Closes the listeners and all connections. */
  close(): void {
    this.#stop.abort();
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) breakOff(socket);
  }

  async #relay(socket: Socket): Promise<void> {
    const { spec, dial, say, logger, places } = this.#options;
    const release = places.take();
    if (release === undefined) {
      places.reportFull(this.port, say);
      breakOff(socket);
      return;
    }
    this.#sockets.add(socket);
    const gone = new AbortController();
    socket.once("close", () => gone.abort());
    socket.on("error", () => undefined); // "close" follows; the pipeline below hears it too
    try {
      const stream = await dial(spec.target, AbortSignal.any([gone.signal, this.#stop.signal]));
      await joined(socket, stream).catch((error: unknown) => {
        logger.log("debug", "forwarded connection ended", { port: spec.target.port, error: String(error) });
      });
      stream.destroy();
    } catch (error) {
      if (gone.signal.aborted || this.#stop.signal.aborted) return;
      const { host = "127.0.0.1", port } = spec.target;
      say(
        `Cannot connect to ${this.#options.targetName ?? formatEnd("tcp", host, port)} in the workspace: ${reasonOf(error)}`,
      );
    } finally {
      breakOff(socket);
      this.#sockets.delete(socket);
      release();
    }
  }
}

/** Joins two streams. Each direction ends separately, as in TCP. */
export async function joined(a: Duplex, b: Duplex): Promise<void> {
  await Promise.all([drainInto(a, b), drainInto(b, a)]);
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
