/** Forwards one HTTP request and its answer through the tunnel, streamed in both directions (RFC 9110 §7.6). */
import { type ClientRequest, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { expectsContinue } from "../base/expect-continue.ts";
import type { Relation } from "./cross-origin.ts";
import type { AppDecision } from "./decision.ts";
import { headersToClient, headersToProgram, type ReturnedAnswer, type VisitorIdentity } from "./headers.ts";
import { isHostRefusal } from "./host-refusal.ts";
import { InterimAnswers } from "./interim-answers.ts";
import { withoutOwnParameters } from "./names.ts";
import type { ProgramPools, ProgramRequestOptions } from "./program-pool.ts";

/** Ends an exchange after this long without a byte in either direction. */
const IDLE_MS = 600_000;
const MAX_HEAD_BYTES = 64 * 1024;

export interface ExchangeFacts {
  readonly decision: AppDecision;
  /** The request target to send to the program, without the server's own parameters. */
  readonly target: string;
  readonly scheme: "http" | "https";
  /** The `Host` that the client sent. */
  readonly host: string;
  readonly clientAddress: string;
  readonly relation: Relation;
  /** The visitor's identity, if the program is to receive it. */
  readonly identity: VisitorIdentity | undefined;
  /** Whether the app is below a path of the deployment's own host. */
  readonly onMainHost: boolean;
}

/**
 * Forwards the request and its answer. Rejects if no answer began; a later failure ends the client's connection, since HTTP
 * offers no other way to report it.
 */
export async function exchange(
  request: IncomingMessage,
  response: ServerResponse,
  pools: ProgramPools,
  facts: ExchangeFacts,
): Promise<void> {
  // The client has left: its "close" event has already been emitted, so the listeners below would never run.
  if (response.destroyed) return;
  const begin = (): ClientRequest => httpRequest(requestOptions(request, pools, facts, false));
  if (expectsContinue(request)) response.writeContinue();
  const hasBody = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined;
  let outgoing = begin();
  let answer: IncomingMessage;
  try {
    answer = await answerOf(outgoing, request, response, hasBody);
  } catch (error) {
    // The program closed a kept connection while the request was in flight, so it has not seen the request.
    const repeatable = (request.method === "GET" || request.method === "HEAD") && !hasBody && outgoing.reusedSocket;
    if (outgoing.reusedSocket) pools.endKept(facts.decision);
    if (!repeatable || response.destroyed) throw error;
    outgoing = begin();
    answer = await answerOf(outgoing, request, response, hasBody);
  }
  await sendBack(request, response, answer, facts);
}

/** Options of the request to the program. Headers are passed as raw pairs, so that Node adds none. */
export function requestOptions(
  request: IncomingMessage,
  pools: ProgramPools,
  { decision, target, scheme, host, clientAddress, identity, onMainHost }: ExchangeFacts,
  webSocket: boolean,
): ProgramRequestOptions {
  const headers = headersToProgram({
    rawHeaders: request.rawHeaders,
    host,
    scheme,
    clientAddress,
    programOrigin: programOrigin(decision),
    webSocket,
    identity,
    onMainHost,
  });
  return {
    decision,
    agent: pools.of(decision),
    method: request.method,
    path: withoutOwnParameters(target),
    headers: headers.map(([name, value]) => [name, value]) as never, // Node accepts pairs here; its types do not
    setHost: false,
    maxHeaderSize: MAX_HEAD_BYTES,
  };
}

/** The origin of a program that insists on `localhost`; undefined for any other. */
function programOrigin({ target }: AppDecision): string | undefined {
  return target.hostHeader === "localhost"
    ? `${target.secure ? "https" : "http"}://localhost:${target.port}`
    : undefined;
}

/** What the headers of a program's answer depend on. */
export function returnedAnswer(
  request: IncomingMessage,
  { rawHeaders }: IncomingMessage,
  { decision, scheme, host, relation, onMainHost }: ExchangeFacts,
): ReturnedAnswer {
  const { origin } = request.headers;
  return { rawHeaders, scheme, host, programOrigin: programOrigin(decision), relation, origin, onMainHost };
}

function answerOf(
  outgoing: ClientRequest,
  request: IncomingMessage,
  response: ServerResponse,
  hasBody: boolean,
): Promise<IncomingMessage> {
  let received: IncomingMessage | undefined;
  // Once the answer is complete, the connection belongs to the pool again.
  const gone = (): void => {
    if (received?.complete !== true) outgoing.destroy();
  };
  response.once("close", gone);
  const interim = new InterimAnswers(request, response);
  outgoing.on("information", (information) => {
    if (!interim.pass(information)) outgoing.destroy(new Error("the program sent too many interim answers"));
  });
  request.setTimeout(IDLE_MS, gone);
  if (hasBody) request.pipe(outgoing);
  else outgoing.end();
  return new Promise((resolve, reject) => {
    outgoing.on("error", (error) => {
      request.unpipe(outgoing);
      reject(error);
    });
    outgoing.once("response", (answer) => {
      received = answer;
      // The answer was read before the connection could be destroyed.
      if (outgoing.destroyed) return;
      if (isChunkedOrPlain(answer)) return resolve(answer);
      outgoing.destroy();
      reject(new Error("the program's answer has a transfer coding that was not requested"));
    });
    outgoing.once("upgrade", (_answer, stream: { destroy(): void }) => {
      stream.destroy();
      reject(new Error("the program changed the protocol without being asked to"));
    });
  });
}

/** With any other transfer coding, two parsers might disagree about where the answer ends. */
function isChunkedOrPlain({ headers }: IncomingMessage): boolean {
  const coding = headers["transfer-encoding"];
  return coding === undefined || coding.trim().toLowerCase() === "chunked";
}

async function sendBack(
  request: IncomingMessage,
  response: ServerResponse,
  answer: IncomingMessage,
  facts: ExchangeFacts,
): Promise<void> {
  const { headers, isEventStream } = headersToClient(returnedAnswer(request, answer, facts));
  if (isEventStream) request.setTimeout(0);
  if (await isHostRefusal(answer)) headers.push(["Coder-Hint", "host_header"]);
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage ?? "", headers.flat());
  response.flushHeaders();
  const { promise, resolve } = Promise.withResolvers<void>();
  answer.on("end", () => {
    if (answer.rawTrailers.length > 0 && !response.hasHeader("Content-Length")) {
      const trailers: [string, string][] = [];
      for (let i = 0; i + 1 < answer.rawTrailers.length; i += 2)
        trailers.push([answer.rawTrailers[i]!, answer.rawTrailers[i + 1]!]);
      response.addTrailers(trailers);
    }
  });
  answer.once("error", () => response.destroy());
  answer.once("close", () => {
    // A truncated answer must not look complete.
    if (!answer.complete) response.destroy();
    resolve();
  });
  answer.pipe(response);
  response.once("close", () => {
    answer.destroy();
    resolve();
  });
  await promise;
}
