import { Duplex } from "node:stream";
import type { EngineError } from "../../base/errors.ts";
import { type AddrPort, formatIp } from "../../base/ip.ts";
import type { TcpConnection } from "../../netstack/tcp/connection.ts";
import type { LendingStream } from "./owned-buffers.ts";

/** Holds the data of one turn between two reads of a busy consumer. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * A netstack connection as a Node Duplex, with back-pressure in both directions: unread data stays in the connection's receive
 * buffer and closes the TCP window; `write` returns false while the send buffer is full. Destroying it before both directions
 * ended resets the connection.
 *
 * A failure destroys it with an EngineError. Unlike other streams, one without an error listener does not end the process: a peer
 * may reset a connection at any time, even before its new owner has seen it. "close" is always emitted, and `errored` keeps the
 * reason.
 */
export class TcpStream extends Duplex implements LendingStream {
  /** What is written is copied before its callback: the writer may reuse the memory then. */
  readonly copiesWrites = true;
  readonly #connection: TcpConnection;
  readonly #wake: () => void;
  #wanted = false;
  #pulling = false;
  #peerEnded = false;
  #ended = false;
  #pending: { bytes: Uint8Array; done: (error?: Error | null) => void } | undefined;

  /** @param wake Tells the driver that the connection has work; the driver flushes at the end of the turn. */
  constructor(connection: TcpConnection, wake: () => void) {
    super({ highWaterMark: HIGH_WATER_BYTES, allowHalfOpen: true });
    this.#connection = connection;
    this.#wake = wake;
    this.on("error", () => undefined);
    connection.handler = {
      onConnected: () => this.emit("connect"),
      onReadable: () => this.#pull(),
      onWritable: () => this.#continueWrite(),
      onEnd: () => {
        this.#peerEnded = true;
        this.#pull();
      },
      onClosed: (error) => this.#closed(error),
    };
  }

  get local(): AddrPort {
    return this.#connection.local;
  }

  get remote(): AddrPort {
    return this.#connection.remote;
  }

  /** The peer's address and port as `net.Socket` names them: SSH servers and HTTP logs read these. */
  get remoteAddress(): string {
    return formatIp(this.#connection.remote.address);
  }

  get remotePort(): number {
    return this.#connection.remote.port;
  }

  get info(): TcpConnection["info"] {
    return this.#connection.info;
  }

  /** Present because callers that expect a socket call it; the netstack never delays small segments. */
  setNoDelay(): this {
    return this;
  }

  /**
   * {@link TcpConnection.giveBack}, for consumers that know when they are done with a chunk: its memory is reused for later data.
   */
  giveBack(chunk: Uint8Array): void {
    this.#connection.giveBack(chunk);
  }

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const accepted = this.#connection.write(chunk);
    this.#wake();
    if (accepted === chunk.length) done();
    else this.#pending = { bytes: chunk.subarray(accepted), done };
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#connection.end();
    this.#wake();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const clean = error === null && this.#ended && this.writableFinished;
    if (!clean && this.#connection.open) {
      this.#connection.abort();
      this.#wake();
    }
    this.#pending?.done(error);
    this.#pending = undefined;
    done(error);
  }

  #pull(): void {
    if (this.#pulling) return; // read() may call onEnd: the chunk at hand goes first
    this.#pulling = true;
    let took = false;
    while (this.#wanted) {
      const chunk = this.#connection.read();
      if (chunk === undefined) break;
      took = true;
      if (!this.push(chunk)) this.#wanted = false;
    }
    this.#pulling = false;
    if (took) this.#wake(); // the window opened
    if (this.#peerEnded && !this.#ended && this.#connection.readableLength === 0) {
      this.#ended = true;
      this.push(null);
    }
  }

  #continueWrite(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const accepted = this.#connection.write(pending.bytes);
    if (accepted > 0) this.#wake();
    if (accepted === pending.bytes.length) {
      this.#pending = undefined;
      pending.done();
    } else {
      pending.bytes = pending.bytes.subarray(accepted);
    }
  }

  #closed(error: EngineError | undefined): void {
    if (this.destroyed) return;
    if (error !== undefined) this.destroy(error);
    else this.#pull();
  }
}
