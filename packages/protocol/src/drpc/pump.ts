/** Moves bytes between one yamux stream and one dRPC call, and keeps the memory of both bounded. */
import type { StreamCloseReason, YamuxStream } from "../yamux/stream.ts";
import { type DrpcClientCall, type DrpcEvent, type DrpcFailure, type DrpcServerCall, localFailure } from "./call.ts";

/** Unsent bytes above which a sender has to wait. */
export const SOFT_SEND_LIMIT_BYTES = 256 * 1024;
/** Unsent bytes above which the call fails: a message of the largest size always fits. */
export const HARD_SEND_LIMIT_BYTES = 8 * 1024 * 1024;

export interface PumpHandlers {
  /** Not called while paused, except for a failure that no input precedes. */
  onEvent(event: DrpcEvent): void;
  /** Few enough bytes are unsent again, after a send that returned false. */
  readonly onDrained?: (() => void) | undefined;
}

export class CallPump {
  readonly #stream: YamuxStream;
  readonly #call: DrpcClientCall | DrpcServerCall;
  readonly #handlers: PumpHandlers;
  readonly #side: "client" | "server";
  #unsent: Uint8Array | undefined;
  #paused = false;
  #receiving = false;
  #flushing = false;
  #senderWaits = false;
  #failed = false;

  constructor(
    stream: YamuxStream,
    call: DrpcClientCall | DrpcServerCall,
    side: "client" | "server",
    handlers: PumpHandlers,
  ) {
    this.#stream = stream;
    this.#call = call;
    this.#side = side;
    this.#handlers = handlers;
  }

  /** Takes over the stream's callbacks. */
  attach(): void {
    this.#stream.handlers = {
      onReadable: () => this.#receive(),
      onWritable: () => this.flush(),
      onEnd: () => this.#transportEnded(),
      onClosed: (reason) => this.#closed(reason),
    };
  }

  /** Sends pending output. Events of earlier input are reported during the call. */
  start(): void {
    this.attach();
    this.flush();
    this.#receive();
  }

  get bufferedBytes(): number {
    return this.#call.outputBytes + (this.#unsent?.length ?? 0);
  }

  /** @param bytes Borrowed. @returns false when the sender should wait, or the call is over. */
  sendMessage(bytes: Uint8Array): boolean {
    if (!this.#call.sendMessage(bytes)) return false;
    this.flush();
    if (this.bufferedBytes > HARD_SEND_LIMIT_BYTES) {
      this.fail(localFailure("overflow", "the receiver does not keep up"));
      return false;
    }
    if (this.bufferedBytes <= SOFT_SEND_LIMIT_BYTES) return true;
    this.#senderWaits = true;
    return false;
  }

  /** Sends the call's output; once it is over and all is sent, ends the stream. */
  flush(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    while (this.#stream.closed === undefined && !this.#stream.localEnded) {
      this.#unsent ??= this.#call.takeOutput();
      if (this.#unsent === undefined) {
        if (this.#call.over) this.#finishStream();
        break;
      }
      const taken = this.#stream.write(this.#unsent);
      this.#unsent = taken === this.#unsent.length ? undefined : this.#unsent.subarray(taken);
      if (this.#unsent !== undefined) break;
    }
    this.#flushing = false;
    if (this.#senderWaits && this.bufferedBytes <= SOFT_SEND_LIMIT_BYTES / 2) {
      this.#senderWaits = false;
      this.#handlers.onDrained?.();
    }
  }

  /** No more events until resume(); the peer is slowed down by its window. */
  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#receive();
  }

  /** Cancels the call at once, both ways. Nothing is reported. */
  cancel(): void {
    this.#failed = true;
    this.#unsent = undefined;
    this.#call.abandon();
    this.#stream.reset();
  }

  fail(failure: DrpcFailure): void {
    if (this.#failed) return;
    this.cancel();
    this.#handlers.onEvent({ kind: "failed", failure });
  }

  #receive(): void {
    if (this.#receiving) return;
    this.#receiving = true;
    while (!this.#paused && !this.#call.over) {
      const event = this.#call.pollEvent();
      if (event !== undefined) this.#deliver(event);
      else if (!this.#feed()) break;
    }
    this.#receiving = false;
    if (this.#call.over) this.#discard();
  }

  /** False when there is nothing to feed now. */
  #feed(): boolean {
    if (!this.#call.wantsInput) return false;
    const chunk = this.#stream.read();
    if (chunk !== undefined) {
      this.#call.handleBytes(chunk);
      return true;
    }
    if (!this.#stream.finishedReading) return false;
    this.#call.handleTransportEnd();
    const event = this.#call.pollEvent();
    if (event !== undefined) this.#deliver(event);
    return false;
  }

  #deliver(event: DrpcEvent): void {
    if (event.kind === "failed") {
      if (this.#failed) return;
      this.#failed = true;
      this.#unsent = undefined;
      if (event.failure.reason === "protocol") this.#stream.reset();
      else this.flush();
    }
    this.#handlers.onEvent(event);
  }

  #transportEnded(): void {
    // A caller ends its side only when it cancels. While paused, its earlier messages are not awaited.
    if (this.#side === "server" && this.#paused && !this.#call.over) {
      this.#call.abandon();
      this.#deliver({ kind: "failed", failure: localFailure("cancelled", "the caller left") });
      this.#stream.reset();
      return;
    }
    // The call is over but not all is sent, or the stream would have ended: a caller that has ended its side does not
    // read the rest.
    if (this.#call.over && !this.#stream.localEnded && this.#side === "server") this.#stream.reset();
    this.#receive();
  }

  #closed(reason: StreamCloseReason): void {
    this.#unsent = undefined;
    if (reason !== "finished" && !this.#call.over) {
      this.#call.abandon();
      const failure =
        this.#side === "server" && reason !== "timeout"
          ? localFailure("cancelled", "the caller left")
          : localFailure("transport", closeText(reason));
      this.#deliver({ kind: "failed", failure });
    }
    // A sender that waits for room would never continue.
    if (this.#senderWaits) {
      this.#senderWaits = false;
      this.#handlers.onDrained?.();
    }
  }

  #finishStream(): void {
    // Go's caller takes the end of the stream for a cancellation until its call has returned, so it must end first.
    if (this.#side === "server") this.#stream.linger();
    else this.#stream.end();
    this.#discard();
  }

  /** Input after the end of the call is read and discarded, so that its window does not stall the peer. */
  #discard(): void {
    while (this.#stream.read() !== undefined);
  }
}

function closeText(reason: StreamCloseReason): string {
  return reason === "reset" ? "the peer reset the call" : "the connection ended before the answer";
}
