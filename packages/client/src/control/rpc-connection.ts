/** A control connection: WebSocket → yamux → dRPC. The dialing side calls, the control plane answers. */
import { createRpcSession, type RpcSession } from "coder-protocol/drpc/async";
import { DIALLER_PINGS, YamuxSession } from "coder-protocol/yamux/session";
import type { RequestOptions } from "../rest/api.ts";
import type { Deployment } from "../rest/deployment.ts";
import { openWebSocket } from "./open-web-socket.ts";
import { abandon, runYamux, type YamuxListeners } from "./yamux-websocket.ts";

/** A control message is at most 4 MiB; a WebSocket message may hold several pieces of the stream. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;

export interface RpcConnection {
  readonly rpc: RpcSession;
  /** Resolves when the connection has ended: with the reason, or undefined after our own close. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  /** Ends it at once, without waiting for the other side, because the network below is gone. */
  abandon(): void;
}

/** Opens a control connection. Rejects with ClientError when the server refuses, EngineError when it cannot be reached. */
export async function dialRpc(
  deployment: Deployment,
  path: string,
  options: {
    readonly query?: RequestOptions["query"];
    readonly signal: AbortSignal;
    readonly cookie?: string | undefined;
  } & YamuxListeners,
): Promise<RpcConnection> {
  const { query, signal, cookie } = options;
  const socket = await openWebSocket(deployment, path, {
    query,
    signal,
    headers: cookie === undefined ? {} : { Cookie: cookie },
    maxPayload: MAX_PAYLOAD_BYTES,
    what: "the control connection",
  });
  const yamux = new YamuxSession({ role: "client", ...DIALLER_PINGS });
  const rpc = createRpcSession(yamux);
  const running = runYamux(socket, yamux, options);
  socket.resume();
  return {
    rpc,
    closed: running.closed,
    close: async () => {
      running.close();
      await running.closed;
    },
    abandon: () => abandon(socket, "the network changed"),
  };
}
