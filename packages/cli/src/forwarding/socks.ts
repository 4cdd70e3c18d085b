/**
 * The server side of SOCKS 5 (RFC 1928), 4 and 4a: the client names a host, and the workspace connects to it. No authentication,
 * and CONNECT only. As with OpenSSH's -D, every program that reaches the listener may use it.
 */
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { formatIp, ipFromBytes } from "wg-userspace/base/ip";
import { joined } from "./tcp-forward.ts";

const REQUEST_TIMEOUT_MS = 30_000;
/** The longest possible request: SOCKS 4a with two names. */
const MAX_REQUEST_BYTES = 600;
const CONNECT = 1;

export interface SocksTarget {
  readonly host: string;
  readonly port: number;
}

/** The result of parsing the bytes so far; `used` is how many of them were consumed. */
type Parsed<T> = { readonly value: T; readonly used: number } | "more" | { readonly refuse: Uint8Array | undefined };

interface Request {
  readonly target: SocksTarget;
  readonly granted: Uint8Array;
  readonly failed: Uint8Array;
}

/**
 * Serves one client until it ends; owns the socket.
 * @param dial Rejects when the host cannot be reached; the client then gets a reply.
 */
export async function serveSocks(socket: Socket, dial: (target: SocksTarget) => Promise<Duplex>): Promise<void> {
  socket.on("error", () => undefined); // "close" follows, and the reader below handles it
  const late = setTimeout(() => socket.destroy(), REQUEST_TIMEOUT_MS);
  late.unref();
  const reader = new RequestReader(socket);
  let request: Request | undefined;
  try {
    const version = await reader.read((bytes) => (bytes.length < 1 ? "more" : { value: bytes[0]!, used: 0 }));
    if (version === 5) {
      await reader.read(parseGreeting);
      socket.write(Uint8Array.of(5, 0));
      request = await reader.read(parseSocks5);
    } else {
      request = await reader.read(parseSocks4);
    }
    clearTimeout(late);
    reader.release();
    const stream = await dial(request.target);
    socket.write(request.granted);
    await joined(socket, stream);
    stream.destroy();
  } catch (error) {
    if (request !== undefined && !socket.destroyed) socket.end(request.failed);
    throw error;
  } finally {
    clearTimeout(late);
    if (socket.writableEnded) socket.destroySoon();
    else socket.destroy();
  }
}

/** Collects bytes until a parser has enough, and returns the remaining bytes to the socket. */
class RequestReader {
  readonly #socket: Socket;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async read<T>(parse: (bytes: Uint8Array) => Parsed<T>): Promise<T> {
    for (;;) {
      const result = parse(this.#bytes);
      if (result !== "more") {
        if ("refuse" in result) {
          if (result.refuse !== undefined) this.#socket.end(result.refuse);
          throw new Error("not a supported SOCKS request");
        }
        this.#bytes = this.#bytes.subarray(result.used);
        return result.value;
      }
      if (this.#bytes.length > MAX_REQUEST_BYTES) throw new Error("the SOCKS request is too long");
      this.#bytes = Buffer.concat([this.#bytes, await nextChunk(this.#socket)]);
    }
  }

  release(): void {
    if (this.#bytes.length > 0) this.#socket.unshift(this.#bytes);
  }
}

function nextChunk(socket: Socket): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off("readable", readable);
      socket.off("close", closed);
      socket.off("end", closed);
    };
    const readable = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      settle();
      resolve(chunk);
    };
    const closed = (): void => {
      settle();
      reject(new Error("the client went away"));
    };
    socket.on("readable", readable);
    socket.once("close", closed);
    socket.once("end", closed);
    readable();
  });
}

/** Layout: version 5, number of methods, methods. */
function parseGreeting(bytes: Uint8Array): Parsed<undefined> {
  if (bytes.length < 2 || bytes.length < 2 + bytes[1]!) return "more";
  const methods = bytes.subarray(2, 2 + bytes[1]!);
  return methods.includes(0) ? { value: undefined, used: 2 + bytes[1]! } : { refuse: Uint8Array.of(5, 0xff) };
}

/** Layout: version 5, command, 0, address type, address, port. */
function parseSocks5(bytes: Uint8Array): Parsed<Request> {
  if (bytes.length < 5) return "more";
  const answer = (code: number): Uint8Array => Uint8Array.of(5, code, 0, 1, 0, 0, 0, 0, 0, 0);
  const [version, command, , kind] = bytes;
  if (version !== 5) return { refuse: undefined };
  const lengths: Readonly<Record<number, number>> = { 1: 4, 3: 1 + bytes[4]!, 4: 16 };
  const length = lengths[kind!];
  if (length === undefined) return { refuse: answer(8) };
  const used = 4 + length + 2;
  if (bytes.length < used) return "more";
  if (command !== CONNECT) return { refuse: answer(7) };
  const address = bytes.slice(4, 4 + length);
  const host = kind === 3 ? textOf(address.subarray(1)) : formatIp(ipFromBytes(address));
  if (host === undefined) return { refuse: answer(8) };
  const port = (bytes[used - 2]! << 8) | bytes[used - 1]!;
  return { value: { target: { host, port }, granted: answer(0), failed: answer(5) }, used };
}

/** Layout: version 4, command, port, IPv4 address, user NUL. If the address is 0.0.0.x, a name and NUL follow (4a). */
function parseSocks4(bytes: Uint8Array): Parsed<Request> {
  if (bytes.length < 9) return bytes.length > 0 && bytes[0] !== 4 ? { refuse: undefined } : "more";
  const answer = (code: number): Uint8Array => Uint8Array.of(0, code, 0, 0, 0, 0, 0, 0);
  if (bytes[0] !== 4) return { refuse: undefined };
  if (bytes[1] !== CONNECT) return { refuse: answer(91) };
  const userEnd = bytes.indexOf(0, 8);
  if (userEnd < 0) return "more";
  const port = (bytes[2]! << 8) | bytes[3]!;
  const address = bytes.slice(4, 8);
  const named = address[0] === 0 && address[1] === 0 && address[2] === 0 && address[3] !== 0;
  let used = userEnd + 1;
  let host: string | undefined = formatIp(ipFromBytes(address));
  if (named) {
    const nameEnd = bytes.indexOf(0, used);
    if (nameEnd < 0) return "more";
    host = textOf(bytes.subarray(used, nameEnd));
    used = nameEnd + 1;
  }
  if (host === undefined) return { refuse: answer(91) };
  return { value: { target: { host, port }, granted: answer(90), failed: answer(91) }, used };
}

/** A host name; undefined when the bytes cannot be one. */
function textOf(bytes: Uint8Array): string | undefined {
  const text = Buffer.from(bytes).toString("latin1");
  return /^[!-~]{1,255}$/.test(text) ? text : undefined;
}
