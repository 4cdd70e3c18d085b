/**
 * The program of a workspace that the bench of web apps reaches: a page, a download, an upload, and a stream of events
 * with the time.
 */
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const PAGE = Buffer.alloc(200, "x");
const CHUNK = Buffer.alloc(64 * 1024, 0x5a);

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://program");
  if (url.pathname === "/down") {
    let left = Number(url.searchParams.get("bytes"));
    response.writeHead(200, { "Content-Length": left });
    const fill = (): void => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!response.write(chunk)) return void response.once("drain", fill);
      }
      response.end();
    };
    fill();
  } else if (url.pathname === "/up") {
    let bytes = 0;
    request.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    request.on("end", () => response.end(String(bytes)));
  } else if (url.pathname === "/events") {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    // The wall clock, which the reading process shares.
    const timer = setInterval(() => response.write(`data: ${performance.timeOrigin + performance.now()}\n\n`), 20);
    response.on("close", () => clearInterval(timer));
  } else response.end(PAGE);
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${JSON.stringify({ port: typeof address === "object" ? address?.port : 0 })}\n`);
});
createInterface({ input: process.stdin }).once("close", () => process.exit(0));
