import { once } from "node:events";
import type { Duplex } from "node:stream";
import { expect, test, vi } from "vitest";
import { SpeedtestService } from "./speedtest.ts";
import { duplexPair, eventually } from "./ssh/testing.ts";

const BLOCK_BYTES = 2 * 1024 * 1024;
const SECOND_NS = 1e9;
const silent = { level: "error", log: () => undefined } as const;

function connect(service = new SpeedtestService({ logger: silent })): Duplex {
  const [near, far] = duplexPair();
  near.on("error", () => undefined);
  service.handleConnection(far);
  return near;
}

/** The agent's line, and the number of bytes from there to the end. */
async function readAll(stream: Duplex): Promise<{ answer: string; bytes: number }> {
  let answer: string | undefined;
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    if (answer !== undefined) {
      bytes += chunk.length;
      return;
    }
    const end = chunk.indexOf("\n");
    answer = chunk.toString("utf8", 0, end);
    bytes = chunk.length - end - 1;
  });
  const cut = once(stream, "close").then(() => {
    if (!stream.readableEnded) throw new Error("the connection was cut");
  });
  await Promise.race([once(stream, "end"), cut]);
  return { answer: answer ?? "", bytes };
}

function ask(stream: Duplex, request: unknown): void {
  stream.write(`${typeof request === "string" ? request : JSON.stringify(request)}\n`);
}

test("a download consists of an empty answer, whole blocks and the end", async () => {
  const stream = connect();
  ask(stream, { version: 2, time: SECOND_NS / 10, direction: 0 });
  const { answer, bytes } = await readAll(stream);
  expect(answer).toBe("{}");
  expect(bytes).toBeGreaterThanOrEqual(BLOCK_BYTES);
  expect(bytes % BLOCK_BYTES).toBe(0);
});

test("an upload is read to its end and answered with an end", async () => {
  const stream = connect();
  ask(stream, { version: 2, time: SECOND_NS / 10, direction: 1 });
  const all = readAll(stream);
  for (let i = 0; i < 3; i++) stream.write(Buffer.alloc(BLOCK_BYTES));
  stream.end();
  expect(await all).toEqual({ answer: "{}", bytes: 0 });
  expect(stream.writableFinished).toBe(true);
});

test("a request that is split is read", async () => {
  const stream = connect();
  const text = '{"version":2,"time":1000000,"direction":0}\n';
  for (const letter of text) {
    stream.write(letter);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect((await readAll(stream)).answer).toBe("{}");
});

test.each([
  [
    "another version",
    { version: 1, time: 5 * SECOND_NS, direction: 0 },
    "version mismatch: this agent speaks 2, not 1",
  ],
  ["an unknown direction", { version: 2, time: 5 * SECOND_NS, direction: 2 }, "direction"],
  ["no time", { version: 2, direction: 0 }, "time"],
  ["a negative time", { version: 2, time: -1, direction: 0 }, "time"],
  ["more than 30 seconds", { version: 2, time: 31 * SECOND_NS, direction: 0 }, "at most 30 seconds"],
  ["nonsense", "GET / HTTP/1.1", "JSON"],
  ["null", "null", "JSON"],
  ["a line without end", "x".repeat(5000), "JSON"],
])("%s is refused with the reason", async (_, request, reason) => {
  const stream = connect();
  ask(stream, request);
  const { answer, bytes } = await readAll(stream);
  expect(JSON.parse(answer)).toEqual({ error: expect.stringContaining(reason) });
  expect(bytes).toBe(0);
});

test("only a few tests run at once; when one is over, the next may start", async () => {
  const service = new SpeedtestService({ logger: silent, maxTests: 1 });
  const running = connect(service);
  ask(running, { version: 2, time: SECOND_NS, direction: 1 });
  const [answer] = (await once(running, "data")) as [Buffer];
  expect(answer.toString()).toBe("{}\n");
  const second = connect(service);
  ask(second, { version: 2, time: SECOND_NS, direction: 1 });
  expect(JSON.parse((await readAll(second)).answer)).toEqual({ error: expect.stringContaining("too many") });
  running.destroy();
  second.destroy();
  // The service notices the end of the first one only a moment later.
  await vi.waitFor(
    async () => {
      const third = connect(service);
      ask(third, { version: 2, time: SECOND_NS / 100, direction: 0 });
      const { answer } = await readAll(third);
      third.destroy();
      expect(answer).toBe("{}");
    },
    { timeout: 10_000, interval: 5 },
  );
});

test("a client that does not read is sent no more than fits, and its leaving ends the sending", async () => {
  const log: string[] = [];
  const service = new SpeedtestService({ logger: { level: "info", log: (_, message) => log.push(message) } });
  const [near, far] = duplexPair();
  let taken = 0;
  near.on("error", () => undefined);
  service.handleConnection(far);
  ask(near, { version: 2, time: 20 * SECOND_NS, direction: 0 });
  await eventually("held up", () => far.writableNeedDrain);
  taken = near.readableLength + far.writableLength;
  expect(taken).toBeLessThan(BLOCK_BYTES);
  near.destroy();
  await eventually("ended", () => log.includes("speed test ended early"));
});
