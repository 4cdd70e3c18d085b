/** Calls over a yamux session, with callbacks: one yamux stream per call. */
import type { YamuxSession } from "../yamux/session.ts";
import { type DrpcCallOptions, DrpcClientCall, type DrpcFailure } from "./call.ts";
import { CallPump } from "./pump.ts";

export interface ClientCallHandlers {
  /** @param bytes Owned by the handler. */
  onMessage(bytes: Uint8Array): void;
  /** The server has sent everything. The call is over, and nothing more is reported. */
  onEnd(): void;
  /** The call is over; nothing more is reported. Not called after cancel(). */
  onFailure(failure: DrpcFailure): void;
  /** Called after a sendMessage that returned false: sending may continue. */
  onDrained?(): void;
}

/** Undefined when the session accepts no more calls. */
export function startCall(
  session: YamuxSession,
  path: string,
  handlers: ClientCallHandlers,
  options: DrpcCallOptions = {},
): ClientCall | undefined {
  const stream = session.openStream();
  if (stream === undefined) return undefined;
  const call = new DrpcClientCall(path, options);
  const pump = new CallPump(stream, call, "client", {
    onEvent: (event) => {
      switch (event.kind) {
        case "message":
          return handlers.onMessage(event.bytes);
        case "end":
          // A server that has answered reads no more: what it has not taken by now would never be sent.
          if (pump.bufferedBytes > 0) pump.cancel();
          else {
            call.close();
            pump.flush();
          }
          return handlers.onEnd();
        case "failed":
          return handlers.onFailure(event.failure);
        case "invoke":
          return; // a client call reports none
      }
    },
    onDrained: () => handlers.onDrained?.(),
  });
  pump.attach();
  return new ClientCall(call, pump);
}

export class ClientCall {
  readonly #call: DrpcClientCall;
  readonly #pump: CallPump;
  #started = false;

  constructor(call: DrpcClientCall, pump: CallPump) {
    this.#call = call;
    this.#pump = pump;
  }

  /** Invoke waits for the first message or for this call, so that both travel together. Idempotent. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#pump.start();
  }

  get over(): boolean {
    return this.#call.over;
  }
  get bufferedBytes(): number {
    return this.#pump.bufferedBytes;
  }

  /**
   * @param bytes Borrowed.
   * @returns false when more than SOFT_SEND_LIMIT_BYTES wait: the message was accepted, but wait for onDrained before
   * the next; above HARD_SEND_LIMIT_BYTES the call fails. Also false when nothing can be sent any more.
   */
  sendMessage(bytes: Uint8Array): boolean {
    const more = this.#pump.sendMessage(bytes);
    this.start();
    return more;
  }

  closeSend(): void {
    this.#call.closeSend();
    this.start();
    this.#pump.flush();
  }

  pause(): void {
    this.#pump.pause();
  }
  resume(): void {
    this.#pump.resume();
  }

  /** Cancels the call. The server learns of it by the reset of the stream. Idempotent. */
  cancel(): void {
    this.#pump.cancel();
  }
}
