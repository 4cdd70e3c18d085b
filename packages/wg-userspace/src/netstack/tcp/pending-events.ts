import type { EngineError } from "../../base/errors.ts";
import type { TcpHandler } from "./contract.ts";
import type { Receiver } from "./receiver.ts";

export const EVENT_CONNECTED = 1;
export const EVENT_READABLE = 2;
export const EVENT_WRITABLE = 4;
export const EVENT_END = 8;
export const EVENT_CLOSED = 16;

/** The connection that events are about. Read before each callback: every callback may change it. */
interface EventSource {
  readonly handler: TcpHandler;
  readonly readableLength: number;
  readonly writableLength: number;
  readonly open: boolean;
}

/** The callbacks that the handler of a connection is due; the end and the close only once. */
export class PendingEvents {
  /** Why the connection failed. */
  error: EngineError | undefined;
  #events = 0;
  #endDelivered = false;
  #closedDelivered = false;

  add(event: number): void {
    this.#events |= event;
  }

  deliver(source: EventSource, receiver: Receiver): void {
    const events = this.#events;
    this.#events = 0;
    const { handler } = source;
    if ((events & EVENT_CONNECTED) !== 0) handler.onConnected?.();
    if ((events & EVENT_READABLE) !== 0 && source.readableLength > 0) handler.onReadable?.();
    if ((events & EVENT_WRITABLE) !== 0 && source.writableLength > 0) handler.onWritable?.();
    const drained = source.readableLength === 0;
    if (receiver.finished && drained && !this.#endDelivered && this.error === undefined) {
      this.#endDelivered = true;
      handler.onEnd?.();
    }
    if (source.open || this.#closedDelivered) return;
    // An orderly end waits for the reader; a failure does not.
    if (this.error === undefined && !this.#endDelivered && receiver.finished) return;
    this.#closedDelivered = true;
    handler.onClosed?.(this.error);
  }
}
