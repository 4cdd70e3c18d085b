import { ByteQueue } from "./byte-queue.ts";
import { INITIAL_WINDOW_BYTES } from "./frame.ts";

/**
 * Why a stream is over. `finished`: both sides ended it. `reset`: the peer reset it. `aborted`: we reset it. `timeout`: the peer
 * never ended its side. `session`: the session under it is over.
 */
export type StreamCloseReason = "finished" | "reset" | "aborted" | "timeout" | "session";

/** All are called synchronously, from inside calls into the session. They may call the stream and the session. */
export interface YamuxStreamHandlers {
  /** New data for read() has arrived. */
  onReadable?(): void;
  /** A partial write may be continued. */
  onWritable?(): void;
  /** The peer ended its side: read() returns only what is left. */
  onEnd?(): void;
  /** Called once. After `finished` the rest of the data can still be read. */
  onClosed?(reason: StreamCloseReason): void;
}

/** The session as a stream uses it. */
export interface StreamHost {
  /** Bytes of payload that the session's output accepts now. */
  outputRoom(): number;
  /** Calls resumeWriting() when there is room again. */
  waitForRoom(stream: YamuxStream): void;
  sendData(stream: YamuxStream, payload: Uint8Array): void;
  sendWindowUpdate(stream: YamuxStream, deltaBytes: number): void;
  sendFin(stream: YamuxStream): void;
  sendReset(stream: YamuxStream): void;
  /** The peer has a limited time to end its side. */
  waitForPeersEnd(stream: YamuxStream): void;
  streamClosed(stream: YamuxStream): void;
}

/** One stream of a {@link YamuxSession}, which makes it. Synchronous, with flow control in both directions. */
export class YamuxStream {
  readonly id: number;
  /** Replace to be notified; on an accepted stream, read() first: bytes may have arrived before. */
  handlers: YamuxStreamHandlers = {};
  readonly #host: StreamHost;
  readonly #received = new ByteQueue();
  /** What the peer may still send without a window update. */
  #receiveWindow = INITIAL_WINDOW_BYTES;
  #sendWindow = INITIAL_WINDOW_BYTES;
  #writerWaits = false;
  #localEnded = false;
  #lingers = false;
  #remoteEnded = false;
  #closed: StreamCloseReason | undefined;

  constructor(id: number, host: StreamHost) {
    this.id = id;
    this.#host = host;
  }

  /** The peer has ended its side and everything was read. */
  get finishedReading(): boolean {
    return (this.#remoteEnded || this.#closed !== undefined) && this.#received.length === 0;
  }
  get remoteEnded(): boolean {
    return this.#remoteEnded;
  }
  get localEnded(): boolean {
    return this.#localEnded;
  }
  get closed(): StreamCloseReason | undefined {
    return this.#closed;
  }
  get readableBytes(): number {
    return this.#received.length;
  }

  /** Takes up to `maxBytes` that have arrived, owned by the caller; undefined when there are none now. */
  read(maxBytes = 64 * 1024): Uint8Array | undefined {
    const bytes = this.#received.take(maxBytes);
    if (bytes !== undefined && !this.#remoteEnded && this.#closed === undefined) this.#openWindow();
    return bytes;
  }

  /**
   * @param bytes Borrowed.
   * @returns the accepted bytes: fewer than given when the peer's window or the session's output is full, in which case
   * onWritable follows; 0 on a closed stream, without onWritable.
   */
  write(bytes: Uint8Array): number {
    if (this.#localEnded) throw new Error("write after end");
    if (this.#closed !== undefined) return 0;
    const room = this.#host.outputRoom();
    const length = Math.max(0, Math.min(bytes.length, this.#sendWindow, room));
    if (length > 0) {
      this.#sendWindow -= length;
      this.#host.sendData(this, bytes.subarray(0, length));
    }
    if (length < bytes.length) {
      this.#writerWaits = true;
      if (room <= length) this.#host.waitForRoom(this);
    }
    return length;
  }

  /** Ends our side; the peer may continue sending. Idempotent. */
  end(): void {
    if (this.#localEnded || this.#closed !== undefined) return;
    this.#localEnded = true;
    this.#writerWaits = false;
    this.#host.sendFin(this);
    if (this.#remoteEnded) this.close("finished");
    else this.#host.waitForPeersEnd(this);
  }

  /** We have sent everything, but the peer must end its side first: then ours ends too. Idempotent. */
  linger(): void {
    if (this.#lingers || this.#localEnded || this.#closed !== undefined) return;
    this.#lingers = true;
    if (this.#remoteEnded) this.end();
    else this.#host.waitForPeersEnd(this);
  }

  /** Ends both sides at once and discards received data. Idempotent. */
  reset(): void {
    if (this.#closed !== undefined) return;
    this.#host.sendReset(this);
    this.close("aborted");
  }

  /** For the session. @returns false if that is more than the granted window. */
  grantPayload(lengthBytes: number): boolean {
    if (lengthBytes > this.#receiveWindow) return false;
    this.#receiveWindow -= lengthBytes;
    return true;
  }

  /** For the session. @param piece Borrowed. */
  receive(piece: Uint8Array): void {
    if (this.#closed !== undefined || piece.length === 0) return;
    this.#received.append(piece);
    this.handlers.onReadable?.();
  }

  /** For the session. @returns false if the window would not fit its 32 bits. */
  growSendWindow(deltaBytes: number): boolean {
    if (this.#sendWindow + deltaBytes > 0xffff_ffff) return false;
    this.#sendWindow += deltaBytes;
    if (deltaBytes > 0) this.resumeWriting();
    return true;
  }

  /** For the session. */
  resumeWriting(): void {
    if (!this.#writerWaits || this.#closed !== undefined) return;
    if (this.#sendWindow === 0) return;
    this.#writerWaits = false;
    this.handlers.onWritable?.();
  }

  /** For the session. @returns false if the peer had already ended its side. */
  receiveFin(): boolean {
    if (this.#remoteEnded) return false;
    this.#remoteEnded = true;
    if (this.#lingers) this.end();
    else this.handlers.onEnd?.();
    if (this.#localEnded) this.close("finished");
    return true;
  }

  /** For the session. Idempotent. */
  close(reason: StreamCloseReason): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#writerWaits = false;
    if (reason === "reset" || reason === "aborted") this.#received.clear();
    this.#host.streamClosed(this);
    this.handlers.onClosed?.(reason);
  }

  /** Small updates would cost a frame each, so the window is opened when half of it has been read. */
  #openWindow(): void {
    const delta = INITIAL_WINDOW_BYTES - this.#receiveWindow - this.#received.length;
    if (delta < INITIAL_WINDOW_BYTES / 2) return;
    this.#receiveWindow += delta;
    this.#host.sendWindowUpdate(this, delta);
  }
}
