import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Dialer } from "./dialer.ts";

const TARGET = { host: "workspace.example", port: 80, tls: false };
const ESTABLISHED = "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";

let proxy: Server | undefined;
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  proxy?.close();
});

/** A dialer behind a proxy that runs `answer` once it has read the whole CONNECT request. */
async function behind(answer: (socket: Socket) => void): Promise<Dialer> {
  proxy = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    let asked = "";
    socket.on("data", (chunk: Buffer) => {
      if (asked.endsWith("\r\n\r\n")) return;
      asked += chunk.toString("latin1");
      if (!asked.endsWith("\r\n\r\n")) return;
      expect(asked).toMatch(/^CONNECT workspace\.example:80 HTTP\/1\.1\r\n/);
      answer(socket);
    });
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  return new Dialer({ proxyFor: () => url });
}

it("leaves what follows the proxy's header to the connection", async () => {
  const dialer = await behind((socket) => socket.end(`${ESTABLISHED}first bytes`));
  const stream = await dialer.connect(TARGET);
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString()).toBe("first bytes");
});

it("takes a proxy's header in pieces", async () => {
  const dialer = await behind((socket) => {
    socket.setNoDelay(true);
    let sent = 0;
    const next = (): void => {
      if (sent < ESTABLISHED.length) socket.write(ESTABLISHED[sent++]!, () => setImmediate(next));
      else socket.end("x");
    };
    next();
  });
  const stream = await dialer.connect(TARGET);
  const [chunk] = (await once(stream, "data")) as [Buffer];
  expect(chunk.toString()).toBe("x");
});

it("ends the connection to a proxy that refuses, says too much, or closes", async () => {
  const cases: [answer: (socket: Socket) => void, message: RegExp][] = [
    [(socket) => socket.write("HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic\r\n\r\n"), /407/],
    [(socket) => socket.write("x".repeat(17 * 1024)), /endless answer/],
    [(socket) => socket.end("HTTP/1.1 200 OK\r\n"), /closed the connection/],
  ];
  for (const [answer, message] of cases) {
    const closed = Promise.withResolvers<void>();
    const dialer = await behind((socket) => {
      socket.on("close", () => closed.resolve());
      answer(socket);
    });
    await expect(dialer.connect(TARGET)).rejects.toThrow(message);
    await closed.promise;
    proxy?.close();
  }
});

it("ends the attempt with the caller's reason, and the connection with it", async () => {
  const stop = new AbortController();
  const reason = new Error("enough");
  const closed = Promise.withResolvers<void>();
  const dialer = await behind((socket) => {
    socket.on("close", () => closed.resolve());
    stop.abort(reason);
  });
  await expect(dialer.connect(TARGET, { signal: stop.signal })).rejects.toBe(reason);
  await closed.promise;
});
