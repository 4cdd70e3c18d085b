import { Duplex, Writable } from "node:stream";
import type { LendingStream } from "wg-userspace/io/sockets/owned-buffers";
import { releaseData } from "./ssh2-protocol.ts";

/** The window: how much a client may send before it gets more credit, and therefore the most that one channel makes us buffer. */
export const WINDOW_BYTES = 2 * 1024 * 1024;
/** Largest data packet either side may send. Every implementation must accept this (RFC 4253 §6.1). */
export const PACKET_BYTES = 32 * 1024;
/** Instead, with a client that accepts as much, as our own does: what one read of a pipe returns is one packet. */
export const LARGE_PACKET_BYTES = 64 * 1024;
/** A client that requests smaller packets would cause more headers than data. */
export const MIN_PACKET_BYTES = 256;
const CREDIT_STEP_BYTES = WINDOW_BYTES / 8;
const MAX_WINDOW = 0xffff_ffff;
/** How much a client may send beyond its window in a row. sshd allows as much, for clients that count wrongly. */
const MAX_EXCESS_BYTES = WINDOW_BYTES / 10;
const STDERR = 1;

/** How a session ended, as RFC 4254 §6.10 reports it. */
export type ExitReport =
  | { readonly status: number }
  | { readonly signal: string; readonly coreDumped?: boolean | undefined };

/** What a channel needs from its connection. Every call is ignored after the connection's end. */
export interface ChannelHost {
  /** While true, bulk data must wait for {@link waitForRoom} to call back. */
  readonly full: boolean;
  waitForRoom(channel: SshChannel): void;
  sendData(peer: number, bytes: Buffer): void;
  sendExtendedData(peer: number, bytes: Buffer, type: number): void;
  sendCredit(peer: number, bytes: number): void;
  sendEof(peer: number): void;
  sendExit(peer: number, exit: ExitReport): void;
  sendClose(peer: number): void;
}

interface PendingWrite {
  bytes: Buffer;
  readonly type: number | undefined;
  readonly done: () => void;
}

/** Largest data packet that a client may send, which itself accepts packets of `clientBytes`. */
export function acceptedPacketBytes(clientBytes: number): number {
  return clientBytes >= LARGE_PACKET_BYTES ? LARGE_PACKET_BYTES : PACKET_BYTES;
}

/**
 * One SSH channel (RFC 4254 §5) as a Duplex. Reading opens the client's window, writing waits for it and for the
 * transport. Emits `peerclose` when the client closed the channel or vanished: later writes are dropped, what was
 * received can still be read.
 */
export class SshChannel extends Duplex implements LendingStream {
  /** Extended data of type stderr; shares the window. */
  readonly stderr: Writable;
  readonly #host: ChannelHost;
  readonly #peer: number;
  readonly #packetBytes: number;
  readonly #pending: PendingWrite[] = [];
  #sendWindow: number;
  #receiveWindow = WINDOW_BYTES;
  #excessBytes = 0;
  #peerEnded = false;
  #peerClosed = false;
  #eofSent = false;
  #closeSent = false;
  #sending = false;

  constructor(host: ChannelHost, peer: { sender: number; window: number; packetSize: number }) {
    super({ readableHighWaterMark: CREDIT_STEP_BYTES, writableHighWaterMark: 4 * PACKET_BYTES, allowHalfOpen: true });
    this.#host = host;
    this.#peer = peer.sender;
    this.#sendWindow = peer.window;
    this.#packetBytes = Math.min(peer.packetSize, LARGE_PACKET_BYTES);
    this.stderr = new Writable({
      highWaterMark: 4 * PACKET_BYTES,
      write: (chunk: Buffer, _encoding, done) => this.#send(chunk, STDERR, done),
    });
  }

  /** The client's number for this channel. */
  get peer(): number {
    return this.#peer;
  }

  get peerClosed(): boolean {
    return this.#peerClosed;
  }

  /** The only reader of a chunk that was read here no longer uses it. */
  giveBack(chunk: Uint8Array): void {
    releaseData(chunk);
  }

  /**
   * As sshd does, drops data after the end of file and accepts packets larger than it asked for: a client with one such fault
   * should not lose its other channels.
   * @returns False when the client exceeded its window and the connection must end.
   */
  receive(data: Buffer): boolean {
    if (this.#peerEnded) return true;
    const excess = Math.max(data.length - this.#receiveWindow, 0);
    this.#excessBytes = excess === 0 ? 0 : this.#excessBytes + excess;
    if (this.#excessBytes > MAX_EXCESS_BYTES) return false;
    this.#receiveWindow = Math.max(this.#receiveWindow - data.length, 0);
    if (this.destroyed) return true; // it arrived after we closed
    this.push(data);
    this.#credit();
    return true;
  }

  /** @returns false when the window would exceed 32 bits (RFC 4254 §5.2). */
  addWindow(bytes: number): boolean {
    if (this.#sendWindow + bytes > MAX_WINDOW) return false;
    this.#sendWindow += bytes;
    this.flush();
    return true;
  }

  receiveEof(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    if (!this.destroyed) this.push(null);
  }

  /** The client closed the channel, or the connection is gone. */
  receiveClose(): void {
    if (this.#peerClosed) return;
    this.#peerClosed = true;
    this.#sendClose();
    this.receiveEof();
    this.#dropPending();
    this.emit("peerclose");
  }

  /** Sends what remains of both streams, then end of file, the exit report and close. */
  finish(exit: ExitReport): void {
    if (this.destroyed) return;
    this.resume(); // nothing reads it any more
    const close = (): void => {
      this.end(() => {
        if (!this.#peerClosed) this.#host.sendExit(this.#peer, exit);
        this.#sendClose();
      });
    };
    if (this.stderr.writableFinished) close();
    else this.stderr.end(close);
  }

  /** Continues writing after the window or the transport has opened. */
  flush(): void {
    if (this.#sending) return;
    this.#sending = true;
    for (let head = this.#pending[0]; head !== undefined && this.#sendPart(head); head = this.#pending[0]) {
      this.#pending.shift();
      head.done();
    }
    this.#sending = false;
  }

  override _read(): void {
    this.#credit();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#send(chunk, undefined, done);
  }

  override _final(done: () => void): void {
    if (!this.#eofSent && !this.#closeSent) {
      this.#eofSent = true;
      this.#host.sendEof(this.#peer);
    }
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#sendClose();
    this.#dropPending();
    if (!this.stderr.destroyed) this.stderr.destroy();
    done(error);
  }

  #send(bytes: Buffer, type: number | undefined, done: () => void): void {
    if (this.#peerClosed || this.#closeSent) {
      done();
      return;
    }
    this.#pending.push({ bytes, type, done });
    this.flush();
  }

  /** @returns Whether all of it was sent. */
  #sendPart(write: PendingWrite): boolean {
    while (write.bytes.length > 0) {
      if (this.#sendWindow === 0) return false;
      if (this.#host.full) {
        this.#host.waitForRoom(this);
        return false;
      }
      const part = write.bytes.subarray(0, Math.min(this.#sendWindow, this.#packetBytes));
      write.bytes = write.bytes.subarray(part.length);
      this.#sendWindow -= part.length;
      if (write.type === undefined) this.#host.sendData(this.#peer, part);
      else this.#host.sendExtendedData(this.#peer, part, write.type);
    }
    return true;
  }

  /** Credits the window for consumed bytes, in steps, to keep window adjustments rare. */
  #credit(): void {
    const bytes = WINDOW_BYTES - this.#receiveWindow - this.readableLength;
    if (bytes < CREDIT_STEP_BYTES || this.#peerEnded || this.#closeSent) return;
    this.#receiveWindow += bytes;
    this.#host.sendCredit(this.#peer, bytes);
  }

  #sendClose(): void {
    if (this.#closeSent) return;
    this.#closeSent = true;
    this.#host.sendClose(this.#peer);
  }

  #dropPending(): void {
    for (const write of this.#pending.splice(0)) write.done();
  }
}
