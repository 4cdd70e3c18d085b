/** One transport of the relay: an upgraded stream, raw or carrying WebSocket messages. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";

export interface RelaySocketEvents {
  /** The chunk is borrowed. */
  onBytes(chunk: Uint8Array): void;
  onDrain(): void;
  /** Called at least once, at the latest when the stream is gone. */
  onClosed(): void;
}

export type WriteDone = (error?: Error | null) => void;

export interface RelaySocket {
  readonly kind: "raw" | "websocket";
  start(events: RelaySocketEvents): void;
  /**
   * Returns false if the stream is full: wait for onDrain. `done` is called once for each chunk, in the order of the writes, when
   * the chunk is no longer in use; `error` is set if the stream failed first.
   */
  write(chunk: Uint8Array, done: WriteDone): boolean;
  /** Writes between `cork` and `uncork` are sent together. */
  cork(): void;
  uncork(): void;
  /** Ends the transport, with its closing handshake if it has one, at the latest after `graceMs`. */
  end(graceMs: number): void;
  destroy(): void;
}

export class RawRelaySocket implements RelaySocket {
  readonly kind = "raw";
  readonly #stream: Duplex;
  #head: Uint8Array | undefined;

  /** @param head Bytes that arrived after the upgrade request. */
  constructor(stream: Duplex, head: Uint8Array) {
    this.#stream = stream;
    this.#head = head.length > 0 ? head : undefined;
  }

  start(events: RelaySocketEvents): void {
    const stream = this.#stream;
    stream.on("close", () => events.onClosed());
    stream.on("end", () => events.onClosed());
    stream.on("error", () => events.onClosed());
    stream.on("drain", () => events.onDrain());
    if (this.#head !== undefined) events.onBytes(this.#head);
    this.#head = undefined;
    stream.on("data", (chunk: Uint8Array) => events.onBytes(chunk));
  }

  write(chunk: Uint8Array, done: WriteDone): boolean {
    return this.#stream.write(chunk, done);
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  end(graceMs: number): void {
    this.#stream.end();
    destroyLater(this.#stream, graceMs);
  }

  destroy(): void {
    this.#stream.destroy();
  }
}

const CLOSE_GOING_AWAY = 1001;
/** Longer messages are split: clients with Tailscale's code close the connection on a message above 32 KiB. */
const MAX_SENT_MESSAGE_BYTES = 32 * 1024;
const CLOSE_UNSUPPORTED = 1003;
const BINARY = { binary: true } as const;

export class WebSocketRelaySocket implements RelaySocket {
  readonly kind = "websocket";
  readonly #socket: WebSocket;
  readonly #stream: Duplex;

  constructor(socket: WebSocket, stream: Duplex) {
    this.#socket = socket;
    this.#stream = stream;
  }

  start(events: RelaySocketEvents): void {
    const socket = this.#socket;
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      if (isBinary) events.onBytes(data);
      else {
        socket.close(CLOSE_UNSUPPORTED);
        events.onClosed();
      }
    });
    socket.on("close", () => events.onClosed());
    socket.on("error", () => events.onClosed());
    this.#stream.on("drain", () => events.onDrain());
  }

  write(chunk: Uint8Array, done: WriteDone): boolean {
    for (let at = 0; at < chunk.length; at += MAX_SENT_MESSAGE_BYTES) {
      const isLast = at + MAX_SENT_MESSAGE_BYTES >= chunk.length;
      this.#socket.send(chunk.subarray(at, at + MAX_SENT_MESSAGE_BYTES), BINARY, isLast ? done : undefined);
    }
    return !this.#stream.writableNeedDrain;
  }

  cork(): void {
    this.#stream.cork();
  }

  uncork(): void {
    this.#stream.uncork();
  }

  end(graceMs: number): void {
    this.#socket.close(CLOSE_GOING_AWAY);
    destroyLater(this.#stream, graceMs);
  }

  destroy(): void {
    this.#socket.terminate();
  }
}

function destroyLater(stream: Duplex, graceMs: number): void {
  if (stream.destroyed) return;
  const timer = setTimeout(() => stream.destroy(), graceMs);
  stream.once("close", () => clearTimeout(timer));
}
