/** HTTP/1.1 (RFC 9112) over one connection of the tunnel: one request, one response, no keep-alive. Uses only web streams. */
import { onAbort } from "wg-userspace/async/abort";
import { concatBytes } from "wg-userspace/base/bytes";

/** A connection as a pair of web streams. */
export interface DuplexStream {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Resets the connection. */
  abort(): void;
}

const MAX_HEAD_BYTES = 64 * 1024;
const MAX_CHUNK_LINE_BYTES = 4096;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Headers that we write ourselves, or that mean nothing on a single connection. */
const OWN_HEADERS = new Set([
  "host",
  "connection",
  "content-length",
  "transfer-encoding",
  "upgrade",
  "keep-alive",
  "te",
]);
const NO_BODY = new Set([101, 204, 205, 304]);

/**
 * Sends the request and resolves with the response once its head has arrived. Owns the stream. The request's signal resets the
 * connection until the body has been read.
 */
export async function exchange(stream: DuplexStream, host: string, request: Request): Promise<Response> {
  const { signal } = request;
  const stopListening = onAbort(signal, () => stream.abort());
  try {
    const body = request.body === null ? undefined : new Uint8Array(await request.arrayBuffer());
    const writer = stream.writable.getWriter();
    const written = writer.write(requestHead(host, request, body)).then(async () => {
      if (body !== undefined && body.length > 0) await writer.write(body);
    });
    const reader = new ByteReader(stream.readable.getReader());
    const [head] = await Promise.all([finalHead(reader), written]);
    const end = (): void => {
      stopListening();
      stream.abort();
    };
    return new Response(bodyOf(head, request, reader, end), head);
  } catch (error) {
    stopListening();
    stream.abort();
    throw signal.aborted ? signal.reason : error;
  }
}

/** The whole body as UTF-8. Rejects, and ends the connection, when it is longer than `limitBytes`. */
export async function limitedText(response: Response, limitBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const piece of piecesOf(response.body)) {
    length += piece.length;
    if (length > limitBytes) throw new Error(`the answer is longer than ${limitBytes} bytes`);
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

/** Cancels the stream unless it is read to the end. */
async function* piecesOf(body: ReadableStream<Uint8Array> | null): AsyncGenerator<Uint8Array, undefined> {
  const reader = body?.getReader();
  try {
    for (;;) {
      const read = await reader?.read();
      if (read?.value === undefined) return;
      yield read.value;
    }
  } finally {
    await reader?.cancel().catch(() => undefined); // the error was already thrown above
  }
}

function requestHead(host: string, request: Request, body: Uint8Array | undefined): Uint8Array {
  const url = new URL(request.url);
  const lines = [`${request.method} ${url.pathname}${url.search} HTTP/1.1`, `Host: ${host}`, "Connection: close"];
  if (body !== undefined) lines.push(`Content-Length: ${body.length}`);
  for (const [name, value] of request.headers) if (!OWN_HEADERS.has(name)) lines.push(`${name}: ${value}`);
  return new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`);
}

interface Head {
  readonly status: number;
  readonly statusText: string;
  readonly headers: Headers;
}

/** Skips interim responses (1xx). */
async function finalHead(reader: ByteReader): Promise<Head> {
  for (;;) {
    const head = parseHead(await reader.until("\r\n\r\n", MAX_HEAD_BYTES));
    if (head.status >= 200) return head;
    if (head.status === 101) throw new TypeError("the server switched to another protocol");
  }
}

function parseHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.[01] ([1-9][0-9]{2})(?: (.*))?$/.exec(first);
  if (match === null) throw new TypeError(`no HTTP answer: ${JSON.stringify(first.slice(0, 80))}`);
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon);
    if (colon < 1 || !TOKEN.test(name)) throw new TypeError(`no HTTP header: ${JSON.stringify(line.slice(0, 80))}`);
    headers.append(name, line.slice(colon + 1).trim());
  }
  return { status: Number(match[1]), statusText: match[2] ?? "", headers };
}

/** @param end Called once the body has been read or abandoned; ends the connection. */
function bodyOf(head: Head, request: Request, reader: ByteReader, end: () => void): ReadableStream<Uint8Array> | null {
  if (request.method === "HEAD" || NO_BODY.has(head.status)) {
    end();
    return null;
  }
  const pieces = /\bchunked\s*$/i.test(head.headers.get("transfer-encoding") ?? "")
    ? chunked(reader)
    : counted(reader, lengthOf(head.headers));
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await pieces.next();
        if (!done) controller.enqueue(value);
        else {
          controller.close();
          end();
        }
      } catch (error) {
        const reason: unknown = request.signal.aborted ? request.signal.reason : error;
        end();
        throw reason;
      }
    },
    cancel: end,
  });
}

/** Undefined when the body lasts until the connection ends. */
function lengthOf(headers: Headers): number | undefined {
  const text = headers.get("content-length");
  if (text === null) return undefined;
  if (!/^[0-9]{1,15}$/.test(text)) throw new TypeError(`Content-Length is ${JSON.stringify(text)}`);
  return Number(text);
}

async function* counted(reader: ByteReader, length: number | undefined): AsyncGenerator<Uint8Array, undefined> {
  let left = length ?? Number.POSITIVE_INFINITY;
  while (left > 0) {
    const bytes = await reader.some(left);
    if (bytes === undefined) {
      if (length !== undefined) throw new TypeError(`the answer ended ${left} bytes early`);
      return;
    }
    left -= bytes.length;
    yield bytes;
  }
}

async function* chunked(reader: ByteReader): AsyncGenerator<Uint8Array, undefined> {
  for (;;) {
    const line = await reader.until("\r\n", MAX_CHUNK_LINE_BYTES);
    const digits = /^([0-9a-fA-F]{1,12})[ \t]*(;|$)/.exec(line)?.[1];
    if (digits === undefined) throw new TypeError(`no chunk size: ${JSON.stringify(line.slice(0, 80))}`);
    let left = Number.parseInt(digits, 16);
    if (left === 0) return; // trailers are ignored
    while (left > 0) {
      const bytes = await reader.some(left);
      if (bytes === undefined) throw new TypeError("the answer ended inside a chunk");
      left -= bytes.length;
      yield bytes;
    }
    if ((await reader.until("\r\n", 2)) !== "") throw new TypeError("a chunk is longer than it says");
  }
}

class ByteReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  /** Between one and `most` bytes; undefined at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0 && !(await this.#more())) return undefined;
    const taken = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(taken.length);
    return taken;
  }

  /** The text before the mark, which is consumed too. Throws when the text is longer than `limit` or the mark never comes. */
  async until(mark: string, limit: number): Promise<string> {
    for (let from = 0; ; ) {
      const at = indexOf(this.#rest, mark, from);
      if (at >= 0) {
        const text = new TextDecoder("latin1").decode(this.#rest.subarray(0, at));
        this.#rest = this.#rest.subarray(at + mark.length);
        return text;
      }
      if (this.#rest.length > limit) throw new TypeError("the answer's head is too long");
      from = Math.max(0, this.#rest.length - mark.length + 1);
      if (!(await this.#more())) throw new TypeError("the connection ended inside the answer's head");
    }
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#reader.read();
    if (done) return false;
    this.#rest = this.#rest.length === 0 ? value : concatBytes(this.#rest, value);
    return true;
  }
}

function indexOf(bytes: Uint8Array, mark: string, from: number): number {
  const codes = [...mark].map((character) => character.charCodeAt(0));
  for (let at = from; at + codes.length <= bytes.length; at++)
    if (codes.every((code, i) => bytes[at + i] === code)) return at;
  return -1;
}
