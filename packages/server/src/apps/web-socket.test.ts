import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AppDecision } from "./decision.ts";
import type { ExchangeFacts } from "./exchange.ts";
import { ProgramPools } from "./program-pool.ts";
import { passWebSocket } from "./web-socket.ts";

class End extends Duplex {
  got = "";
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.got += chunk.toString("latin1");
    done();
  }
}

const decision = {
  target: { agentId: "a", port: 8080, secure: false, hostHeader: "preserve" },
} as unknown as AppDecision;
const facts: ExchangeFacts = {
  decision,
  target: "/",
  scheme: "http",
  host: "app.test",
  clientAddress: "192.0.2.1",
  relation: "own",
  identity: undefined,
  onMainHost: false,
};
const headers = { "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" };
const request = { method: "GET", url: "/", headers, rawHeaders: [] } as unknown as IncomingMessage;

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

function pass() {
  const [client, program] = [new End(), new End()];
  const dial = async (): Promise<Duplex> => program;
  const passing = passWebSocket(request, client, Buffer.of(), dial, new ProgramPools(dial), facts);
  passing.catch(() => undefined); // awaited below
  return { client, program, passing };
}
const turns = () => vi.advanceTimersByTimeAsync(0);

test.each([
  ["answers nothing", ""],
  ["answers only the head of a refusal", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\n"],
])("a program that %s is given up after a minute", async (_, answer) => {
  const { client, program, passing } = pass();
  await turns();
  program.push(answer);
  await vi.advanceTimersByTimeAsync(59_000);
  expect(program.destroyed).toBe(false);
  await vi.advanceTimersByTimeAsync(1_000);
  await expect(passing).rejects.toThrow();
  expect([program.destroyed, client.got]).toEqual([true, ""]);
});

test("a refusal is passed on, and one without an end is not", async () => {
  const { client, program } = pass();
  await turns();
  program.push("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  await expect.poll(() => client.got).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n.*\r\n\r\nno$/s);
  const endless = pass();
  await turns();
  endless.program.push("HTTP/1.1 403 Forbidden\r\n\r\n");
  endless.program.push(Buffer.alloc(1024 * 1024 + 1));
  await expect(endless.passing).rejects.toThrow("endless");
  expect(endless.client.got).toBe("");
});

test("an open WebSocket may be silent for any time", async () => {
  const { client, program } = pass();
  await turns();
  program.push(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
  );
  await expect.poll(() => client.got).toMatch(/^HTTP\/1\.1 101/);
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect([program.destroyed, client.destroyed]).toEqual([false, false]);
  client.destroy();
  program.destroy();
});
