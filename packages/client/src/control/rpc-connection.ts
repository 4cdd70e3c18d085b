/** A control connection: WebSocket → yamux → dRPC. The dialing side calls, the control plane answers. */
import { createRpcSession, type RpcSession } from "coder-protocol/drpc/async";
import { DIALLER_PINGS, YamuxSession } from "coder-protocol/yamux/session";
import type { RequestOptions } from "../rest/api.ts";
import type { Deployment } from "../rest/deployment.ts";
import { answeredWithin } from "./answer-limit.ts";
import { openWebSocket } from "./open-web-socket.ts";
import { abandon, runYamux, type YamuxListeners } from "./yamux-websocket.ts";

/** A control message is at most 4 MiB; a WebSocket message may hold several pieces of the stream. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
/**
 * Limit of every call with one answer. Far above what a working server takes, because one whose database is away keeps reports until
 * it is back, and the connection with them.
 */
const ANSWER_LIMIT_MS = 10 * 60_000;

export interface RpcConnection {
  /** Calls with one answer reject with EngineError ERR_TIMEOUT when it does not come. */
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
  const rpc = limited(createRpcSession(yamux));
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

function limited(rpc: RpcSession): RpcSession {
  return {
    ...rpc,
    unary: (method, request, options) =>
      answeredWithin(
        ANSWER_LIMIT_MS,
        method.name,
        (signal) => rpc.unary(method, request, { signal }),
        options?.signal as AbortSignal | undefined,
      ),
  };
}
