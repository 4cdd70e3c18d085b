/** Runs a yamux session over a WebSocket. Its binary messages form one byte stream, in which message boundaries mean nothing. */

import type { YamuxSession } from "coder-protocol/yamux/session";
import { EngineError } from "wg-userspace/base/errors";
import type WebSocket from "ws";
import { SilenceWatch } from "./silence-watch.ts";

/** While more than this is queued in the socket, the session keeps its output, so that its streams feel the back-pressure. */
const HIGH_WATER_BYTES = 256 * 1024;
const DRAIN_CHECK_MS = 10;
const NORMAL_CLOSE = 1000;
const UNSUPPORTED_DATA = 1003;
/** Private close code (RFC 6455 §7.4.2): the closing side was not killed, and does not wait for an answer. */
const ABANDONED = 4000;

export interface RunningYamux {
  /** Resolves when the transport has ended: with the reason, or undefined after our own close. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  close(): void;
}

/**
 * Ends the transport at once. If anything still arrives, the close frame comes first and shows the other side that this process
 * was not killed.
 */
export function abandon(socket: WebSocket, reason: string): void {
  socket.close(ABANDONED, reason);
  socket.terminate();
}

export interface YamuxListeners {
  /** The other side is overdue, so other connections on the same route may be dead too. */
  readonly onDoubt?: (() => void) | undefined;
  /** Called on any input: the process is awake, and may do now what it would soon wake up for. */
  readonly onHeard?: (() => void) | undefined;
}

export function runYamux(socket: WebSocket, yamux: YamuxSession, listeners: YamuxListeners = {}): RunningYamux {
  return new YamuxTransport(socket, yamux, listeners);
}

class YamuxTransport implements RunningYamux {
  readonly closed: Promise<Error | undefined>;
  readonly #socket: WebSocket;
  readonly #yamux: YamuxSession;
  readonly #silence: SilenceWatch;
  readonly #onHeard: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #scheduled = false;
  #byUs = false;
  #failure: string | undefined;

  constructor(socket: WebSocket, yamux: YamuxSession, { onDoubt, onHeard }: YamuxListeners) {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.closed = promise;
    this.#socket = socket;
    this.#yamux = yamux;
    this.#onHeard = onHeard;
    this.#silence = new SilenceWatch(socket, { onDoubt, onDead: () => this.#fellSilent() });
    socket.binaryType = "nodebuffer";
    const heard = (): void => this.#heard();
    socket.on("ping", heard);
    socket.on("pong", heard);
    socket.on("message", (data, isBinary) => this.#handleMessage(data as Buffer, isBinary));
    socket.on("error", (error) => {
      this.#failure ??= error.message;
    });
    socket.on("close", (code, reason) => resolve(this.#handleClose(code, reason)));
    yamux.onOutput = () => this.#schedule();
    yamux.handleTimeout(performance.now());
    this.#pump();
  }

  close(): void {
    const socket = this.#socket;
    this.#byUs = true;
    this.#yamux.close();
    this.#pump();
    if (socket.readyState === socket.CONNECTING) socket.terminate();
    // Limits the wait for a peer that does not answer the close.
    setTimeout(() => socket.terminate(), 1_000).unref();
  }

  #heard(): void {
    this.#silence.heard();
    this.#onHeard?.();
  }

  #fellSilent(): void {
    this.#failure ??= "the control plane fell silent";
    abandon(this.#socket, "no sign of life");
  }

  #handleMessage(data: Buffer, isBinary: boolean): void {
    this.#heard();
    if (!isBinary) {
      this.#failure ??= "the server sent a text message on the control connection";
      this.#socket.close(UNSUPPORTED_DATA);
      return;
    }
    this.#yamux.handleBytes(data, performance.now());
    this.#pump();
  }

  /** Returns why the transport ended; undefined after our own close. */
  #handleClose(code: number, reason: Buffer): Error | undefined {
    clearTimeout(this.#timer);
    this.#silence.stop();
    if (code !== NORMAL_CLOSE)
      this.#failure ??= reason.length > 0 ? reason.toString("utf8") : `the connection closed (${code})`;
    this.#yamux.handleEnd(this.#failure);
    if (this.#byUs) return undefined;
    const message = `control connection lost: ${this.#failure ?? "closed by the server"}`;
    return new EngineError("ERR_CLOSED", message, { retryable: true });
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#pump());
  }

  #pump(): void {
    const [socket, yamux] = [this.#socket, this.#yamux];
    this.#scheduled = false;
    while (socket.readyState === socket.OPEN) {
      if (socket.bufferedAmount > HIGH_WATER_BYTES) {
        setTimeout(() => this.#schedule(), DRAIN_CHECK_MS);
        break;
      }
      const output = yamux.takeOutput();
      if (output === undefined) break;
      socket.send(output);
    }
    if (yamux.ended !== undefined && socket.readyState === socket.OPEN) {
      this.#failure ??= yamux.ended.failure;
      socket.close(NORMAL_CLOSE);
    }
    this.#rearm();
  }

  #rearm(): void {
    clearTimeout(this.#timer);
    const at = this.#yamux.nextTimeout();
    if (at === undefined || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#timer = setTimeout(
      () => {
        this.#yamux.handleTimeout(performance.now());
        this.#pump();
      },
      Math.max(1, at - performance.now()),
    );
  }
}
