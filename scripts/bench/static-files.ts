/** A plain file server, the peer of the dashboard's bench. It reads files once and sends them unchanged. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".woff2": "font/woff2",
  ".json": "application/json; charset=utf-8",
};

const [folder = "."] = process.argv.slice(2);
const files = new Map(
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [path.slice(folder.length), readFileSync(path)]),
);

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://files");
  const body = files.get(pathname);
  if (body === undefined) {
    response.writeHead(404).end();
    return;
  }
  const small = files.get(`${pathname}.br`);
  const type = TYPES[extname(pathname)] ?? "text/html; charset=utf-8";
  const sent = small ?? body;
  if (small !== undefined) response.setHeader("Content-Encoding", "br");
  response.writeHead(200, { "Content-Type": type, "Content-Length": sent.length });
  response.end(sent);
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${JSON.stringify({ port: typeof address === "object" ? address?.port : 0 })}\n`);
});
createInterface({ input: process.stdin }).once("close", () => process.exit(0));
