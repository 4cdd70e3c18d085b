import { once } from "node:events";
import { createServer, connect as dial, type Server, type Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import type { SpeedtestInterval } from "../diagnosis/speedtest-text.ts";
import { IntervalCounter, runSpeedtest } from "./speedtest.ts";

const BLOCK_BYTES = 2 * 1024 * 1024;
let server: Server | undefined;

afterEach(() => {
  server?.close();
  server = undefined;
});

/** An agent's side driven by the test, and our end of the connection to it. */
async function agent(serve: (socket: Socket) => void): Promise<Socket> {
  server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("no port");
  const socket = dial({ port: address.port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  return socket;
}

const never = new AbortController().signal;

test("bytes are cut into intervals of a second at least, and the rest is the last one", () => {
  const reported: SpeedtestInterval[] = [];
  const counter = new IntervalCounter(1_000, (interval) => reported.push(interval));
  counter.add(10, 1_400);
  counter.add(20, 2_100);
  counter.add(40, 5_000);
  counter.add(80, 5_500);
  const result = counter.finish(5_600);
  expect(result.overall).toEqual({ startSeconds: 0, endSeconds: 4.6, bytes: 150 });
  expect(result.intervals).toEqual([
    { startSeconds: 0, endSeconds: 1.1, bytes: 30 },
    { startSeconds: 1.1, endSeconds: 4, bytes: 40 },
    { startSeconds: 4, endSeconds: 4.6, bytes: 80 },
  ]);
  expect(reported).toEqual(result.intervals);
});

test("a download counts everything after the answer, also what came with it", async () => {
  let request = "";
  const stream = await agent((socket) => {
    socket.once("data", (chunk) => {
      request = chunk.toString();
      socket.write("{}\nabc");
      socket.end(Buffer.alloc(BLOCK_BYTES - 3));
    });
  });
  const result = await runSpeedtest({ stream, durationMs: 5_000, direction: "down", signal: never });
  expect(request).toBe('{"version":2,"time":5000000000,"direction":0}\n');
  expect(result.overall.bytes).toBe(BLOCK_BYTES);
  expect(stream.destroyed).toBe(true);
});

test("an upload sends whole blocks and ends when the agent has received them", async () => {
  let received = 0;
  let request: string | undefined;
  const stream = await agent((socket) => {
    socket.on("data", (chunk) => {
      if (request !== undefined) received += chunk.length;
      else {
        request = chunk.toString();
        socket.write("{}\n");
      }
    });
    socket.on("end", () => socket.end());
  });
  const result = await runSpeedtest({ stream, durationMs: 50, direction: "up", signal: never });
  expect(request).toBe('{"version":2,"time":50000000,"direction":1}\n');
  expect(received).toBeGreaterThanOrEqual(BLOCK_BYTES);
  expect(received % BLOCK_BYTES).toBe(0);
  expect(result.overall.bytes).toBe(received);
});

test.each([
  ['{"error":"too many speed tests"}\n', "too many speed tests"],
  ['{"error":"a\\u001b[2Jb"}\n', "a?[2Jb"],
  ["SSH-2.0-Go\r\n", "not one of a speed test"],
  ["x".repeat(10_000), "not one of a speed test"],
])("an agent that answers %j is reported", async (answer, why) => {
  const stream = await agent((socket) => void socket.write(answer));
  const running = runSpeedtest({ stream, durationMs: 1_000, direction: "down", signal: never });
  await expect(running).rejects.toMatchObject({ code: "ERR_SPEEDTEST_REFUSED", why: expect.stringContaining(why) });
});

test("a connection that breaks off is reported, whatever the direction", async () => {
  for (const direction of ["down", "up"] as const) {
    let far: Socket | undefined;
    const stream = await agent((socket) => {
      far = socket;
      socket.once("data", () => socket.write("{}\n"));
    });
    const running = runSpeedtest({ stream, durationMs: 60_000, direction, signal: never });
    running.catch(() => undefined); // awaited below
    await vi.waitFor(() => expect(stream.bytesRead).toBe(3), { timeout: 10_000, interval: 5 });
    far!.resetAndDestroy();
    await expect(running).rejects.toMatchObject({ code: "ERR_SPEEDTEST_INTERRUPTED" });
    server?.close();
  }
});

test("a signal ends it with its reason", async () => {
  const cancel = new AbortController();
  const stream = await agent((socket) => void socket.write("{}\n"));
  const running = runSpeedtest({ stream, durationMs: 60_000, direction: "down", signal: cancel.signal });
  running.catch(() => undefined); // awaited below
  await vi.waitFor(() => expect(stream.bytesRead).toBe(3), { timeout: 10_000, interval: 5 });
  cancel.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
  expect(stream.destroyed).toBe(true);
});
