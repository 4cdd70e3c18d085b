/**
 * Serves a request that offers a change of protocol which nothing here accepts (RFC 9110 §7.8), as HTTP clients offer h2c with
 * their first request. Since 24.9 Node asks which offers are accepted; older versions stop reading after any offer and hand the
 * connection over. Such a connection is started again here, with the same request without its offer.
 */
import type { IncomingMessage, Server } from "node:http";
import { Server as TlsServer } from "node:https";
import type { Duplex } from "node:stream";
import { sendLastAnswer } from "../base/last-answer.ts";
import type { OpenResponses } from "./closed-responses.ts";

/** Node keeps no more headers of a request, and drops the others without a sign. */
const MAX_HEADERS = 1_000;
const TOO_MANY_HEADERS =
  "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/**
 * For a connection that Node handed over with "upgrade".
 * @param head What Node has read beyond the request's head.
 */
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
  // Earlier requests on the connection are answered first.
  open.whenNone(request.socket, () => {
    // The previous answer may have ended the connection.
    if (socket.destroyed || socket.writableEnded) return;
    // Node may have dropped the header that gives the length of the body, which would then be read as another request.
    if (request.rawHeaders.length >= 2 * MAX_HEADERS) return sendLastAnswer(socket, TOO_MANY_HEADERS);
    request.socket.setTimeout(0);
    // Node's own listeners, which it adds again.
    request.socket.removeAllListeners("timeout");
    if (head.length > 0) socket.unshift(head);
    socket.unshift(withoutOffer(request));
    server.emit(server instanceof TlsServer ? "secureConnection" : "connection", socket);
    socket.removeListener("error", failed);
  });
}

/** The head of the request. Node has parsed every part of it, so none contains a line end. */
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
