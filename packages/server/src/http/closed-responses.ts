import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/**
 * Makes every response emit "close" once its connection has ended. Node 22 emits none on a response that was queued behind
 * another one, as those of pipelined requests are, and whatever a request holds until then would be held for good. Call it before
 * other listeners for requests are added.
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
    // After what Node closes by itself.
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
