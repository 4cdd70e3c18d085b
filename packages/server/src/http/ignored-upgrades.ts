/**
 * Serves a request as it is whose offer to change the protocol nothing here takes (RFC 9110 §7.8): HTTP clients offer h2c with
 * their first request. Node asks since 24.9 which offers are taken; an older one reads no further after any offer, and hands the
 * connection over. Such a connection begins again here, with the same request without its offer.
 */
import type { IncomingMessage, Server } from "node:http";
import { Server as TlsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { OpenResponses } from "./closed-responses.ts";

/** Node keeps no more headers of a request, and drops the others without a sign. */
const MAX_HEADERS = 1_000;
const TOO_MANY_HEADERS =
  "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/** Only on a connection that Node handed over with "upgrade". @param head What Node has read beyond the request's head. */
export function ignoreUpgrade(
  server: Server,
  open: OpenResponses,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  const failed = (): void => void socket.destroy();
  // Without a listener an error, such as a reset, would end the process.
  socket.on("error", failed);
  // Requests before this one on the connection, whose answers come first.
  open.whenNone(request.socket, () => {
    // With the answer before, the connection may have ended.
    if (socket.destroyed || socket.writableEnded) return;
    // What says how long the body is may be among the headers that Node dropped: the body would be read as another request.
    if (request.rawHeaders.length >= 2 * MAX_HEADERS) return void socket.end(TOO_MANY_HEADERS);
    request.socket.setTimeout(0);
    // Node's own, from before: it adds them again.
    request.socket.removeAllListeners("timeout");
    if (head.length > 0) socket.unshift(head);
    socket.unshift(withoutOffer(request));
    server.emit(server instanceof TlsServer ? "secureConnection" : "connection", socket);
    socket.removeListener("error", failed);
  });
}

/** The head of the request. Node has read every part of it, so that none has the end of a line. */
function withoutOffer({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = "", value = ""] = rawHeaders.slice(at, at + 2);
    const isConnection = name.toLowerCase() === "connection";
    const kept = isConnection ? withoutUpgrade(value) : value;
    if (name.toLowerCase() !== "upgrade" && !(isConnection && kept === "")) lines.push(`${name}: ${kept}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function withoutUpgrade(connection: string): string {
  const options = connection.split(",").map((option) => option.trim());
  return options.filter((option) => option.toLowerCase() !== "upgrade").join(", ");
}
