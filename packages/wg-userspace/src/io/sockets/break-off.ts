import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { TLSSocket } from "node:tls";

/**
 * Ends a stream in the middle of its data. A TCP connection is reset: an ordinary end would tell the other side that everything
 * has come. Where everything has been written to the end, closing is ordinary.
 */
export function breakOff(stream: Readable | Writable): void {
  if (stream instanceof Socket && mayReset(stream)) stream.resetAndDestroy();
  else stream.destroy();
}

/** TLS has an end of its own, whose absence says the same, and a local socket has no reset. */
function mayReset(socket: Socket): boolean {
  const isTcp = !(socket instanceof TLSSocket) && socket.remoteFamily !== undefined;
  return isTcp && !socket.destroyed && !socket.writableFinished;
}
