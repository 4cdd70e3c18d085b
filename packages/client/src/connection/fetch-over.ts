import { Duplex } from "node:stream";
import { exchange } from "./tunnel-fetch.ts";

/**
 * As the global fetch, over a stream to a program that speaks plain HTTP on `port`. Follows no redirects. The stream is owned.
 */
export async function fetchOver(stream: Duplex, port: number, path: string, init: RequestInit = {}): Promise<Response> {
  const host = `localhost:${port}`;
  const request = new Request(new URL(path, `http://${host}`), init);
  const { readable, writable } = Duplex.toWeb(stream);
  return exchange({ readable, writable, abort: () => stream.destroy() }, host, request);
}
