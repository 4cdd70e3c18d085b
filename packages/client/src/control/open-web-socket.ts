import type { IncomingMessage } from "node:http";
import { onAbort } from "wg-userspace/async/abort";
import { toEngineError } from "wg-userspace/io/host/node-errors";
import WebSocket from "ws";
import { type HttpAnswer, isDeployments, strippedUpgrade } from "../rest/answerer.ts";
import type { RequestOptions } from "../rest/api.ts";
import { failureOf } from "../rest/api-failure.ts";
import type { Deployment } from "../rest/deployment.ts";

const HANDSHAKE_TIMEOUT_MS = 15_000;
const MAX_REFUSAL_BYTES = 64 * 1024;
const BRIEF_PATH = "/api/v2/buildinfo";
const BRIEF_TIMEOUT_MS = 10_000;

/** Deployments in front of which a balancer reached no server when it was dialled last. */
const withoutServer = new WeakSet<Deployment>();

/**
 * Opens a WebSocket to a deployment. It is paused until the caller resumes it, because messages may arrive with the answer to the
 * handshake, before the caller listens. Rejects with ClientError when the server refuses, EngineError when it cannot be reached.
 */
export async function openWebSocket(
  deployment: Deployment,
  path: string,
  options: {
    readonly query?: RequestOptions["query"];
    readonly headers?: Readonly<Record<string, string>>;
    /** Largest message in bytes. */
    readonly maxPayload: number;
    /** Its name in errors, such as `the control connection`. */
    readonly what: string;
    readonly signal: AbortSignal;
  },
): Promise<WebSocket> {
  if (withoutServer.has(deployment)) await askBriefly(deployment, options.signal);
  const url = deployment.resolve(path, options.query);
  const headers = { ...(await deployment.headers()), ...options.headers };
  const agent = deployment.dialer.agentFor(url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  options.signal.throwIfAborted();
  const socket = new WebSocket(url, {
    headers,
    agent,
    perMessageDeflate: false,
    maxPayload: options.maxPayload,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    followRedirects: false,
  });
  await opened(socket, url, options, (answer) => {
    if (reachedNoServer(answer)) withoutServer.add(deployment);
  });
  return socket;
}

/**
 * A balancer without health checks, such as nginx, takes the end of a successful request as the sign that a server is back, and
 * until then lets one request through now and then. A WebSocket does not end, so a short request goes first.
 */
async function askBriefly(deployment: Deployment, signal: AbortSignal): Promise<void> {
  const answer = await deployment.send(BRIEF_PATH, { authenticated: false, timeoutMs: BRIEF_TIMEOUT_MS, signal });
  if (reachedNoServer(answer)) throw failureOf(answer, `GET ${BRIEF_PATH}`, deployment.url.host);
  withoutServer.delete(deployment);
}

function reachedNoServer(answer: HttpAnswer): boolean {
  return (answer.status === 502 || answer.status === 504) && !isDeployments(answer);
}

function opened(
  socket: WebSocket,
  url: URL,
  { what, signal }: { readonly what: string; readonly signal: AbortSignal },
  onRefusal: (answer: HttpAnswer) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      settle();
      socket.on("error", () => undefined); // terminating a socket that is still connecting reports an error
      socket.terminate();
      reject(error);
    };
    const onOpen = (): void => {
      settle();
      socket.pause();
      resolve();
    };
    const onError = (error: Error): void => fail(toEngineError(error, `cannot open ${what} to ${url.host}`));
    const onRefused = (_request: unknown, response: IncomingMessage): void => {
      readRefusal(response).then(
        (body) => {
          const answer = { status: response.statusCode ?? 0, headers: response.headers, body };
          onRefusal(answer);
          fail(strippedUpgrade(answer, url.host) ?? failureOf(answer, what, url.host));
        },
        (error: unknown) => fail(toEngineError(error, `cannot open ${what} to ${url.host}`)),
      );
    };
    const settle = (): void => {
      socket.off("open", onOpen);
      socket.off("error", onError);
      socket.off("unexpected-response", onRefused);
      stopWatching();
    };
    socket.on("open", onOpen);
    socket.on("error", onError);
    socket.on("unexpected-response", onRefused);
    const stopWatching = onAbort(signal, () => fail(signal.reason));
  });
}

async function readRefusal(response: IncomingMessage): Promise<unknown> {
  let text = "";
  // The limit of the handshake is one of silence, which a body that trickles never reaches.
  const late = setTimeout(() => response.destroy(new Error("the refusal did not end in time")), HANDSHAKE_TIMEOUT_MS);
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > MAX_REFUSAL_BYTES) break;
    }
  } finally {
    clearTimeout(late);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text; // not our server's JSON but the words of an intermediary
  }
}
