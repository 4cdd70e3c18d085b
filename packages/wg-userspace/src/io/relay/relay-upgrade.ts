/**
 * The HTTP side of a relay connection: classic upgrade, and one plain GET. HTTP/1.1 is written by hand because the bytes after it
 * are not HTTP.
 */
import type { Duplex } from "node:stream";
import { abortable } from "../../async/abort.ts";
import { EngineError } from "../../base/errors.ts";
import { toEngineError } from "../host/node-errors.ts";

const MAX_HEAD_BYTES = 16 * 1024;

export interface HttpHead {
  readonly status: number;
  readonly reason: string;
  /** Names in lower case; the last one of repeated headers. */
  readonly headers: ReadonlyMap<string, string>;
  /** Bytes after the head that were already read. */
  readonly rest: Uint8Array;
}

export interface RequestOptions {
  readonly host: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly context: string;
  readonly signal: AbortSignal;
}

/** Sends a GET and reads the head of the answer. The stream is paused afterwards and stays the caller's, even on failure. */
export async function requestHead(stream: Duplex, options: RequestOptions): Promise<HttpHead> {
  const { context, signal } = options;
  signal.throwIfAborted();
  const text = requestText(options);
  return abortable<HttpHead>(signal, (resolve, reject) => {
    let head = Buffer.alloc(0);
    const onError = (error: Error): void => reject(toEngineError(error, context));
    const onEnd = (): void =>
      reject(
        new EngineError("ERR_CONNECTION_RESET", `${context}: connection ended without an answer`, { retryable: true }),
      );
    const notHttp = (): void =>
      reject(new EngineError("ERR_RELAY_PROTOCOL", `${context}: the answer is not HTTP`, { retryable: true }));
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) {
        if (head.length > MAX_HEAD_BYTES) notHttp();
        return;
      }
      const parsed = parseHead(head.toString("latin1", 0, end), head.subarray(end + 4));
      if (parsed === undefined) notHttp();
      else resolve(parsed);
    };
    stream.on("data", onData);
    stream.on("error", onError);
    stream.on("end", onEnd);
    stream.on("close", onEnd);
    stream.write(text);
    return () => {
      stream.off("data", onData);
      stream.off("error", onError);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.pause();
    };
  });
}

function requestText(options: RequestOptions): string {
  let text = `GET ${options.path} HTTP/1.1\r\nHost: ${options.host}\r\n`;
  for (const [name, value] of Object.entries(options.headers)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) || /[\r\n\0]/.test(value))
      throw new EngineError(
        "ERR_INVALID_ARGUMENT",
        `header "${name.slice(0, 40)}" has characters that HTTP does not allow`,
      );
    if (name.toLowerCase() !== "host") text += `${name}: ${value}\r\n`;
  }
  return `${text}\r\n`;
}

function parseHead(text: string, rest: Uint8Array): HttpHead | undefined {
  const lines = text.split("\r\n");
  const match = /^HTTP\/1\.[01] ([0-9]{3})(?: (.*))?$/.exec(lines[0]!);
  if (match === null) return undefined;
  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return { status: Number(match[1]), reason: match[2] ?? "", headers, rest };
}
