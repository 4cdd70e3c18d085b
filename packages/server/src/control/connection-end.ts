/**
 * Tells whether a control connection ended like that of a killed process. The operating system of a killed process closes all its
 * connections at once. A healthy process sends a close frame first, and a machine that sleeps or has lost its network sends
 * nothing, so that its pings stay unanswered.
 */
import type { Duplex } from "node:stream";
import { addMs, type Instant } from "wg-userspace/base/instant";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { WebSocket } from "ws";

/** On every control connection, one side pings the other this often. */
export const PING_INTERVAL_MS = 15_000;
/** How long an answer may take to come back over a bad network. */
const ANSWER_MS = 5_000;
/** Error codes of a socket after the other side reset the connection. */
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

  /** Call when anything arrives from the other side. */
  heard(now: Instant): void {
    this.#heardAt = now;
  }

  /**
   * The other side closed the transport, and neither side sent a close frame. A connection that had fallen silent before does not
   * count: something in between, such as a proxy, has given up a connection to a machine that sleeps.
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
  // Runs before ws notices the end and begins to close.
  transport.prependOnceListener("end", closed);
  transport.prependOnceListener("error", (error: NodeJS.ErrnoException) => {
    if (RESETS.has(error.code)) closed();
  });
  return end;
}
