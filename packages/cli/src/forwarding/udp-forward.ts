import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { EngineError } from "wg-userspace/base/errors";
import type { Logger } from "wg-userspace/base/ports";
import { listenAddresses, listenFailure } from "./listen.ts";
import { type ForwardSpec, formatEnd } from "./spec.ts";

/** A flow without traffic in both directions for this long is forgotten; the sender's next datagram starts a new one. */
const IDLE_MS = 120_000;
/** Flows at the same time; a new one replaces the one that was idle longest. */
const MAX_FLOWS = 512;

export interface UdpFlow {
  /** False when the payload was dropped. Throws EngineError. */
  send(payload: Uint8Array): boolean;
  close(): void;
}

export interface UdpForwardOptions {
  readonly spec: ForwardSpec;
  /**
   * Opens a flow to the port in the workspace. Undefined while there is no connection: the datagram is dropped, as a network
   * would do. Payloads given to `onMessage` are borrowed.
   */
  readonly open: (
    port: number,
    handler: { onMessage(payload: Uint8Array): void; onUnreachable(): void },
  ) => UdpFlow | undefined;
  readonly say: (line: string) => void;
  readonly logger: Logger;
  readonly idleMs?: number;
}

interface Sender {
  readonly flow: UdpFlow;
  lastUsedAt: number;
}

/** Listens on this machine. Every sender has a flow of its own, so that answers find their way back. */
export class UdpForward {
  readonly #options: UdpForwardOptions;
  readonly #sockets: Socket[] = [];
  /** In order of last use, oldest first. */
  readonly #senders = new Map<string, Sender>();
  readonly #idleMs: number;
  #timer: NodeJS.Timeout | undefined;
  #reportedUnreachable = false;
  #reportedTooLong = false;

  constructor(options: UdpForwardOptions) {
    this.#options = options;
    this.#idleMs = options.idleMs ?? IDLE_MS;
  }

  get openConnections(): number {
    return this.#senders.size;
  }

  /** The addresses, known once it listens. */
  get hosts(): readonly string[] {
    return this.#sockets.map((socket) => socket.address().address);
  }

  /** Resolves when it listens. Rejects with a UserError that names the address; then nothing listens. */
  async start(): Promise<void> {
    const { spec } = this.#options;
    for (const { host, required } of listenAddresses(spec.bind)) {
      const socket = createSocket(host.includes(":") ? { type: "udp6", ipv6Only: true } : { type: "udp4" });
      socket.bind({ address: host, port: spec.port });
      try {
        await once(socket, "listening");
      } catch (error) {
        socket.close();
        if (!required) {
          this.#options.logger.log("debug", "not listening", { host, port: spec.port, error: String(error) });
          continue;
        }
        this.close();
        throw listenFailure("udp", host, spec.port, error as Error);
      }
      this.#sockets.push(socket);
      socket.on("message", (payload, from) => this.#handleDatagram(socket, payload, from));
      socket.on("error", (error) => {
        this.#options.logger.log("debug", "UDP socket", { port: spec.port, error: error.message });
      });
    }
    this.#timer = setInterval(() => this.#forgetIdle(), this.#idleMs / 4);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.close();
    this.#sockets.length = 0;
    this.endFlows();
  }

  /** Ends the flows of a lost connection. New datagrams open new flows. */
  endFlows(): void {
    for (const { flow } of this.#senders.values()) flow.close();
    this.#senders.clear();
  }

  #handleDatagram(socket: Socket, payload: Uint8Array, from: RemoteInfo): void {
    const key = `${from.address} ${from.port}`;
    const sender = this.#senders.get(key) ?? this.#open(socket, from);
    if (sender === undefined) return;
    this.#senders.delete(key);
    this.#senders.set(key, sender);
    sender.lastUsedAt = performance.now();
    try {
      sender.flow.send(payload);
    } catch (error) {
      this.#sendFailed(key, sender, payload.length, error);
    }
  }

  #open(socket: Socket, from: RemoteInfo): Sender | undefined {
    const { spec, open } = this.#options;
    for (const [key, { flow }] of this.#senders) {
      if (this.#senders.size < MAX_FLOWS) break;
      flow.close();
      this.#senders.delete(key);
    }
    const flow = open(spec.target.port, {
      onMessage: (payload) => {
        if (sender !== undefined) sender.lastUsedAt = performance.now();
        // Copied, because these bytes are borrowed and the socket keeps them until they are sent.
        if (this.#sockets.includes(socket)) socket.send(Buffer.from(payload), from.port, from.address);
      },
      onUnreachable: () => this.#unreachable(),
    });
    const sender: Sender | undefined = flow === undefined ? undefined : { flow, lastUsedAt: performance.now() };
    return sender;
  }

  #unreachable(): void {
    if (this.#reportedUnreachable) return;
    this.#reportedUnreachable = true;
    const { spec, say } = this.#options;
    say(`Nothing listens on ${formatEnd("udp", "127.0.0.1", spec.target.port)} in the workspace yet`);
  }

  #sendFailed(key: string, sender: Sender, length: number, error: unknown): void {
    if (!(error instanceof EngineError)) throw error;
    if (error.code === "ERR_MESSAGE_TOO_LARGE") {
      if (!this.#reportedTooLong) {
        const { spec, say } = this.#options;
        say(
          `A datagram of ${length} bytes for UDP port ${spec.target.port} is too long for the tunnel and was dropped`,
        );
      }
      this.#reportedTooLong = true;
      return;
    }
    this.#options.logger.log("debug", "UDP flow ended", { error: error.message });
    sender.flow.close();
    this.#senders.delete(key);
  }

  #forgetIdle(): void {
    const oldest = performance.now() - this.#idleMs;
    for (const [key, { flow, lastUsedAt }] of this.#senders) {
      if (lastUsedAt > oldest) continue;
      flow.close();
      this.#senders.delete(key);
    }
  }
}
