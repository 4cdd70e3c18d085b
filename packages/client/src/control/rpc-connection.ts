/** A control connection: WebSocket → yamux → dRPC. The dialing side calls, the control plane answers. */
import type { IncomingMessage } from "node:http";
import { createRpcSession, type RpcSession } from "coder-protocol/drpc/async";
import { YamuxSession } from "coder-protocol/yamux/session";
import { toEngineError } from "wg-userspace/io/host/node-errors";
import WebSocket from "ws";
import { strippedUpgrade } from "../rest/answerer.ts";
import type { RequestOptions } from "../rest/api.ts";
import { failureOf } from "../rest/api-failure.ts";
import type { Deployment } from "../rest/deployment.ts";
import { abandon, runYamux } from "./yamux-websocket.ts";

/** A control message is at most 4 MiB; a WebSocket message may hold several pieces of the stream. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
const HANDSHAKE_TIMEOUT_MS = 15_000;
const MAX_REFUSAL_BYTES = 64 * 1024;

export interface RpcConnection {
  readonly rpc: RpcSession;
  /** Resolves when the connection is over, with the reason when it was not our own close. */
  readonly closed: Promise<Error | undefined>;
  close(): Promise<void>;
  /** Ends it at once, without waiting for the other side: the network below is gone. */
  abandon(): void;
}

/** Opens a control connection. Rejects with ClientError when the server refuses, EngineError when it cannot be reached. */
export async function dialRpc(
  deployment: Deployment,
  path: string,
  options: {
    readonly query?: RequestOptions["query"];
    readonly signal: AbortSignal;
    readonly cookie?: string;
    /** The connection may be dead: it was silent for longer than a server that is well. */
    readonly onDoubt?: () => void;
  },
): Promise<RpcConnection> {
  const url = deployment.resolve(path, options.query);
  const headers = await deployment.headers();
  if (options.cookie !== undefined) headers["Cookie"] = options.cookie;
  const agent = deployment.dialer.agentFor(url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  options.signal.throwIfAborted();
  const socket = new WebSocket(url, {
    headers,
    agent,
    perMessageDeflate: false,
    maxPayload: MAX_PAYLOAD_BYTES,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    followRedirects: false,
  });
  await opened(socket, url, options.signal);
  const yamux = new YamuxSession({ role: "client" });
  const rpc = createRpcSession(yamux);
  const running = runYamux(socket, yamux, options.onDoubt);
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

function opened(socket: WebSocket, url: URL, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      settle();
      socket.on("error", () => undefined); // terminating a socket that is still connecting reports an error
      socket.terminate();
      reject(error);
    };
    const onOpen = (): void => {
      settle();
      resolve();
    };
    const onError = (error: Error): void =>
      fail(toEngineError(error, `cannot open the control connection to ${url.host}`));
    const onAbort = (): void => fail(signal.reason);
    const onRefused = (_request: unknown, response: IncomingMessage): void => {
      readRefusal(response).then(
        (body) => {
          const answer = { status: response.statusCode ?? 0, headers: response.headers, body };
          fail(strippedUpgrade(answer, url.host) ?? failureOf(answer, "the control connection", url.host));
        },
        (error: unknown) => fail(toEngineError(error, `cannot open the control connection to ${url.host}`)),
      );
    };
    const settle = (): void => {
      socket.off("open", onOpen);
      socket.off("error", onError);
      socket.off("unexpected-response", onRefused);
      signal.removeEventListener("abort", onAbort);
    };
    socket.on("open", onOpen);
    socket.on("error", onError);
    socket.on("unexpected-response", onRefused);
    signal.addEventListener("abort", onAbort);
  });
}

async function readRefusal(response: IncomingMessage): Promise<unknown> {
  let text = "";
  for await (const chunk of response) {
    text += String(chunk);
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // not our server's JSON: the words of something in between
  }
}
