import { Duplex } from "node:stream";
import { exchange } from "./tunnel-fetch.ts";

/**
 * Like the global fetch, over a stream to a program that serves plain HTTP on `port`. Does not follow redirects. Owns the stream.
 */
export async function fetchOver(stream: Duplex, port: number, path: string, init: RequestInit = {}): Promise<Response> {
  const host = `localhost:${port}`;
  const request = new Request(new URL(path, `http://${host}`), init);
  const { readable, writable } = Duplex.toWeb(stream);
  return exchange({ readable, writable, abort: () => stream.destroy() }, host, request);
}
