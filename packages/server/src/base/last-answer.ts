import type { Duplex } from "node:stream";

/** How long a client that has been sent everything may take to close. */
const LINGER_MS = 2_000;
/** How long a client may take to read the answer. */
const READ_MS = 30_000;

/**
 * Sends the last answer on a connection that nothing else watches any more, such as one that asked for an upgrade, and closes it.
 * Reads on meanwhile: unread bytes would reset the connection, and the answer would be lost. A client that neither reads nor
 * closes is disconnected, because only its end would end the connection.
 */
export function sendLastAnswer(socket: Duplex, head: string, body: Buffer | string = ""): void {
  if (socket.destroyed || !socket.writable) return void socket.destroy();
  const destroy = (): void => void socket.destroy();
  let late = setTimeout(destroy, READ_MS).unref();
  socket.once("finish", () => {
    clearTimeout(late);
    late = setTimeout(destroy, LINGER_MS).unref();
  });
  socket.once("close", () => clearTimeout(late));
  socket.write(head, "latin1");
  socket.end(body);
  socket.resume();
}
