/** What is open ends when its other side answers nothing, and stays while it answers: in virtual time. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { WebSocket } from "ws";
import { dial } from "./peers.ts";
import { type Scene, SOCKETS, scene, terminal } from "./sockets.ts";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
});
afterEach(() => void vi.useRealTimers());

interface Peer {
  readonly socket: WebSocket;
  readonly closed: () => boolean;
}

async function open(url: URL | string, headers: Record<string, string>, autoPong: boolean): Promise<Peer> {
  const socket = new WebSocket(url, { headers, autoPong });
  let isClosed = false;
  socket.on("error", () => undefined); // "close" follows
  socket.on("close", () => {
    isClosed = true;
  });
  await once(socket, "open");
  return { socket, closed: () => isClosed };
}

async function openAt(at: Scene, target: (at: Scene) => unknown, autoPong: boolean): Promise<Peer> {
  const [path, headers] = (await target(at)) as [string, Record<string, string>];
  const url = new URL(`/api/v2${path}`, at.url);
  url.protocol = "ws:";
  return await open(url, headers, autoPong);
}

/** Lets time go on; what both sides write meanwhile arrives. */
async function pass(ms: number, isOver: () => boolean): Promise<void> {
  for (let left = ms; left > 0 && !isOver(); left -= 500) {
    vi.advanceTimersByTime(500);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Enough for the longest patience of a side, and an answer. */
const LONG_MS = 120_000;

test.each(SOCKETS)("%s ends when its other side answers nothing", async (_name, _longest, target) => {
  await using at = await scene();
  const peer = await openAt(at, target, false);
  await pass(LONG_MS, peer.closed);
  expect(peer.closed()).toBe(true);
});

const TEXTS = SOCKETS.filter(([name]) => !name.includes("control connection") && !name.startsWith("a client"));

test.each(TEXTS)("%s stays while its other side answers", async (_name, _longest, target) => {
  await using at = await scene();
  const peer = await openAt(at, target, true);
  await pass(LONG_MS, peer.closed);
  expect(peer.closed()).toBe(false);
  peer.socket.terminate();
});

test.each<[string, (at: Scene) => [path: string, token: string]]>([
  ["a client's control connection", (at) => ["/tailnet", at.ada.token]],
  [
    "a client's control connection for one agent",
    (at) => [`/workspaceagents/${at.agentOf(at.workspace)}/coordinate`, at.ada.token],
  ],
  ["an agent's control connection", (at) => ["/workspaceagents/me/rpc", at.agents]],
])("%s stays while its other side answers, without a call", async (_name, target) => {
  await using at = await scene();
  const [path, token] = target(at);
  const connection = await dial(at.url, token, `/api/v2${path}`);
  let isClosed = false;
  void connection.closed.then(() => {
    isClosed = true;
  });
  await pass(LONG_MS, () => isClosed);
  expect(isClosed).toBe(false);
  connection.abandon();
});

test("a terminal ends when its page answers nothing, and stays while it answers", async () => {
  await using at = await terminal();
  const silent = await open(at.url, {}, false);
  await pass(LONG_MS, silent.closed);
  expect(silent.closed()).toBe(true);
  const page = await open(at.url, {}, true);
  await pass(LONG_MS, page.closed);
  expect(page.closed()).toBe(false);
  page.socket.terminate();
});

test("a page whose answers waited for the agent is not silent", async () => {
  const reads = Promise.withResolvers<void>();
  const waits = Promise.withResolvers<void>();
  const agent = new Duplex({
    highWaterMark: 1,
    read: () => undefined,
    write: (_chunk, _encoding, done) => {
      waits.resolve();
      void reads.promise.then(() => done());
    },
  });
  await using at = await terminal(agent);
  const page = await open(at.url, {}, true);
  page.socket.send(Buffer.from("keys"));
  await waits.promise;
  await pass(60_000, page.closed);
  expect([agent.writableNeedDrain, page.closed()]).toEqual([true, false]);
  const drained = once(agent, "drain");
  reads.resolve();
  await drained;
  // The next look comes before what waited is read.
  vi.advanceTimersByTime(15_000);
  await pass(60_000, page.closed);
  expect(page.closed()).toBe(false);
  page.socket.terminate();
});

/** The timer of the server's end of a connection: "02" where the system will ask whether the other side is there. */
function timerOf({ localPort, remotePort }: Socket): string | undefined {
  const port = (of: number | undefined): string => (of ?? 0).toString(16).toUpperCase().padStart(4, "0");
  const rows = readFileSync("/proc/net/tcp", "latin1")
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  const row = rows.find(
    ([, own, far]) => own?.endsWith(`:${port(remotePort)}`) && far?.endsWith(`:${port(localPort)}`),
  );
  return row?.[5]?.slice(0, 2);
}

// What programs and browsers say to each other is not read: whether the browser is there is asked of its system.
test.runIf(process.platform === "linux")("the system is asked about the other side of every connection", async () => {
  vi.useRealTimers();
  await using at = await scene();
  const socket = connect({ host: "127.0.0.1", port: at.port });
  await once(socket, "connect");
  await expect.poll(() => timerOf(socket)).toBe("02");
  socket.destroy();
});
