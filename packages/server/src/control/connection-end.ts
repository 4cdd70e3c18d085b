/**
 * Whether a control connection ended as that of a killed process does. Its operating system closes all its connections at
 * once; a process that is well says so by a close frame first, and a machine that sleeps or has lost its network says nothing
 * at all, so that its pings stay unanswered.
 */
import type { Duplex } from "node:stream";
import { addMs, type Instant } from "wg-userspace/base/instant";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { WebSocket } from "ws";

/** Every side of a control connection pings, or is pinged, this often. */
export const PING_INTERVAL_MS = 15_000;
/** For the answer to come back, over a bad network too. */
const ANSWER_MS = 5_000;
/** What a socket reports when the other side reset the connection. */
const RESETS: ReadonlySet<unknown> = new Set(["ECONNRESET", "EPIPE"]);

export class ConnectionEnd {
  #heardAt: Instant;
  #byClose = false;

  constructor(now: Instant) {
    this.#heardAt = now;
  }

  /** False while the connection is open. */
  get byClose(): boolean {
    return this.#byClose;
  }

  /** Anything came from the other side. */
  heard(now: Instant): void {
    this.#heardAt = now;
  }

  /**
   * The transport was closed by the other side, without a close frame from either. One that had fallen silent before does not
   * count: something between the two, a proxy for instance, has given up a connection to a machine that sleeps.
   */
  closed(now: Instant): void {
    if (now <= addMs(this.#heardAt, PING_INTERVAL_MS + ANSWER_MS)) this.#byClose = true;
  }
}

/** Watches an open WebSocket and the stream that it runs on. */
export function watchEnd(webSocket: WebSocket, transport: Duplex): ConnectionEnd {
  const end = new ConnectionEnd(monotonicNow());
  const heard = (): void => end.heard(monotonicNow());
  webSocket.on("message", heard);
  webSocket.on("ping", heard);
  webSocket.on("pong", heard);
  const closed = (): void => {
    if (webSocket.readyState === webSocket.OPEN) end.closed(monotonicNow());
  };
  // Before ws hears of it and begins to close by itself.
  transport.prependOnceListener("end", closed);
  transport.prependOnceListener("error", (error: NodeJS.ErrnoException) => {
    if (RESETS.has(error.code)) closed();
  });
  return end;
}
