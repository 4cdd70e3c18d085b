/** WebSockets of programs: the handshake is checked (RFC 6455 §4.1), then bytes are copied in both directions. */
import { createHash } from "node:crypto";
import { request as httpRequest, type IncomingMessage, STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { drainInto } from "wg-userspace/io/sockets/drain-into";
import { sendLastAnswer } from "../base/last-answer.ts";
import { type ExchangeFacts, requestOptions, returnedAnswer } from "./exchange.ts";
import { type Header, headersToClient } from "./headers.ts";
import { connectProgram, type DialApp, type ProgramPools } from "./program-pool.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Maximum size of the body of an answer that refuses the WebSocket. */
const MAX_REFUSAL_BYTES = 1024 * 1024;
/** How long a program may take to answer the handshake, the body of a refusal included. */
const ANSWER_MS = 60_000;

/**
 * Asks the program for a WebSocket and joins the two connections. Any other answer is forwarded and ends both: unparsed bytes
 * flow only after a valid 101. Rejects if the program did not answer.
 */
export async function passWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  dial: DialApp,
  pools: ProgramPools,
  facts: ExchangeFacts,
): Promise<void> {
  const stream = await connectProgram(dial, facts.decision);
  if (socket.destroyed) return void stream.destroy();
  socket.once("close", () => stream.destroy());
  const late = setTimeout(
    () => stream.destroy(new Error("the program did not answer the WebSocket handshake in time")),
    ANSWER_MS,
  ).unref();
  stream.once("close", () => clearTimeout(late));
  const outgoing = httpRequest({
    ...requestOptions(request, pools, facts, true),
    agent: undefined,
    createConnection: () => stream,
  } as never);
  const reply = await new Promise<{ answer: IncomingMessage; early: Buffer | undefined }>((resolve, reject) => {
    outgoing.once("error", reject);
    outgoing.once("upgrade", (answer, _stream, early) => resolve({ answer, early }));
    outgoing.once("response", (answer) => resolve({ answer, early: undefined }));
    outgoing.end();
  });
  const { answer, early } = reply;
  outgoing.on("error", () => stream.destroy());
  const { headers } = headersToClient(returnedAnswer(request, answer, facts));
  if (early === undefined) return await refuse(socket, answer, headers, stream);
  clearTimeout(late);
  if (!isGenuine(request, answer)) {
    stream.destroy();
    throw new Error("the program's answer is no WebSocket handshake");
  }
  const switching = headOf(101, "Switching Protocols", [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ...headers,
  ]);
  socket.write(switching, "latin1");
  if (early.length > 0) socket.write(early);
  if (head.length > 0) stream.write(head);
  // Detecting an end, even in the middle of a message, is left to the two ends of the WebSocket.
  await Promise.allSettled([drainInto(stream, socket), drainInto(socket, stream)]);
}

function isGenuine(request: IncomingMessage, answer: IncomingMessage): boolean {
  const key = request.headers["sec-websocket-key"];
  const expected = createHash("sha1").update(`${key}${GUID}`).digest("base64");
  return (
    answer.statusCode === 101 &&
    answer.headers.upgrade?.toLowerCase() === "websocket" &&
    answer.headers["sec-websocket-accept"] === expected
  );
}

async function refuse(
  socket: Duplex,
  answer: IncomingMessage,
  headers: readonly Header[],
  stream: Duplex,
): Promise<void> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_REFUSAL_BYTES) throw new Error("the program refused the WebSocket with an endless answer");
    chunks.push(chunk);
  }
  stream.destroy();
  const body = Buffer.concat(chunks);
  const kept = headers.filter(([name]) => name.toLowerCase() !== "content-length");
  const framed: Header[] = [...kept, ["Content-Length", String(body.length)], ["Connection", "close"]];
  sendLastAnswer(socket, headOf(answer.statusCode ?? 502, answer.statusMessage ?? "", framed), body);
}

/** The serialized head of an answer. Node's parser has already checked the values. */
export function headOf(status: number, reason: string, headers: readonly Header[]): string {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${reason === "" ? (STATUS_CODES[status] ?? "") : reason}\r\n${lines.join("")}\r\n`;
}
