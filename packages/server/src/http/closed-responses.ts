import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** The responses of a server that are neither sent nor given up. */
export interface OpenResponses {
  /** Calls back once there is none of this connection; at once if that is so. */
  whenNone(socket: Socket, callback: () => void): void;
}

/**
 * Makes every response emit "close" once its connection has ended. Node 22 does not do so for a response that is queued behind
 * another one, as with pipelined requests, so whatever such a request holds would never be released. Call this before other
 * listeners for requests are added.
 */
export function closeResponses(server: Server): OpenResponses {
  const open = new WeakMap<Socket, Set<ServerResponse>>();
  const track = ({ socket }: IncomingMessage, response: ServerResponse): void => {
    const responses = open.get(socket) ?? trackSocket(socket);
    responses.add(response);
    response.once("close", () => responses.delete(response));
  };
  const trackSocket = (socket: Socket): Set<ServerResponse> => {
    const responses = new Set<ServerResponse>();
    open.set(socket, responses);
    // After the responses that Node closes itself.
    socket.once("close", () => setImmediate(() => closeAll(responses)));
    return responses;
  };
  server.on("request", track);
  server.on("checkContinue", track);
  const whenNone: OpenResponses["whenNone"] = (socket, callback) => {
    const [first] = open.get(socket) ?? [];
    if (first === undefined) callback();
    else first.once("close", () => whenNone(socket, callback));
  };
  return { whenNone };
}

function closeAll(responses: Set<ServerResponse>): void {
  for (const response of responses) {
    response.destroy();
    if (responses.has(response)) response.emit("close");
  }
}
