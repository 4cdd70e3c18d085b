/** What a deployment's REST calls do on connections that fail; everything else is in answerer.test.ts. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { afterEach, expect, it, vi } from "vitest";
import { openWebSocket } from "../control/open-web-socket.ts";
import { Deployment } from "./deployment.ts";

const OURS = { "X-Coder-Build-Version": "v2.26.0", "Content-Type": "application/json" };
const cleanups: (() => void)[] = [];
afterEach(() => {
  vi.useRealTimers();
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function deploymentAt(answer: RequestListener, onUpgrade?: (socket: Socket) => void): Promise<Deployment> {
  const server = createServer(answer);
  if (onUpgrade !== undefined) server.on("upgrade", (_request, socket) => onUpgrade(socket as Socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const deployment = new Deployment({ url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) });
  cleanups.push(() => {
    deployment.dialer.close();
    server.closeAllConnections();
    server.close();
  });
  return deployment;
}

/** Answers the first request of each connection, and resets the connection at the second. */
function onceEach(): { readonly answer: RequestListener; readonly asked: string[] } {
  const used = new WeakSet<Socket>();
  const asked: string[] = [];
  const answer: RequestListener = (request, response) => {
    asked.push(request.method ?? "");
    if (used.has(request.socket)) return void request.socket.resetAndDestroy();
    used.add(request.socket);
    response.writeHead(200, OURS).end('{"ok":true}');
  };
  return { answer, asked };
}

it("a read whose kept connection the other side closed is sent again on a new one", async () => {
  const { answer, asked } = onceEach();
  const deployment = await deploymentAt(answer);
  await Promise.all([deployment.call("/a"), deployment.call("/b"), deployment.call("/c")]);
  expect(await deployment.call("/d")).toEqual({ ok: true });
  expect(asked.length).toBeGreaterThan(4);
});

it("a change is not sent again: it may have taken effect", async () => {
  const { answer, asked } = onceEach();
  const deployment = await deploymentAt(answer);
  await deployment.call("/a");
  await expect(deployment.call("/b", { method: "POST" })).rejects.toMatchObject({ code: "ERR_CONNECTION_RESET" });
  expect(asked).toEqual(["GET", "POST"]);
});

it("a read on a new connection that is reset is not sent again", async () => {
  const asked: string[] = [];
  const deployment = await deploymentAt((request) => {
    asked.push(request.url ?? "");
    request.socket.resetAndDestroy();
  });
  await expect(deployment.call("/a")).rejects.toMatchObject({ code: "ERR_CONNECTION_RESET" });
  expect(asked).toEqual(["/a"]);
});

/** Lets a minute of timers pass, with turns of the event loop for what arrives. */
async function aMinute(): Promise<void> {
  for (let second = 0; second < 60; second++) {
    await vi.advanceTimersByTimeAsync(1_000);
    await setImmediate();
  }
}

it("an event stream that is refused with an endless answer is given up", async () => {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const deployment = await deploymentAt((_request, response) => {
    response.writeHead(503, { "Content-Type": "text/html" });
    response.write("Maintenance", () => begin());
  });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const refused = deployment.stream("/watch", { accept: "text/event-stream" });
  refused.catch(() => undefined); // awaited below
  await begun;
  await aMinute();
  await expect(refused).rejects.toThrow("in time");
});

it("a WebSocket that is refused with a trickling answer is given up", async () => {
  const deployment = await deploymentAt(
    () => undefined,
    (socket) => {
      socket.on("error", () => undefined); // the client goes
      socket.write("HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n");
      const trickle = setInterval(() => socket.write("."), 100);
      socket.once("close", () => clearInterval(trickle));
    },
  );
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { signal } = new AbortController();
  const refused = openWebSocket(deployment, "/rpc", { maxPayload: 1_000, what: "the control connection", signal });
  const outcome = refused.catch((error: Error) => error.message);
  let message: unknown;
  void outcome.then((text) => {
    message = text;
  });
  for (let turn = 0; turn < 100 && message === undefined; turn++) await aMinute();
  expect(message).toContain("did not end in time");
});
