import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Makes every response emit "close" once its connection has ended. Node 22 does not do so for a response that is queued behind
 * another one, as with pipelined requests, so whatever such a request holds would never be released. Call this before other
 * listeners for requests are added.
 */
export function closeResponses(server: Server): void {
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
}

function closeAll(responses: Set<ServerResponse>): void {
  for (const response of responses) {
    response.destroy();
    if (responses.has(response)) response.emit("close");
  }
}
