import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { nodeCryptoSuite } from "wg-userspace/io/host/crypto-suite";
import { nodeRandom } from "wg-userspace/io/node";
import { refuseUpgrade } from "../apps/send-answer.ts";
import { HttpFailure } from "../http/failure.ts";
import { rejectUpgrade } from "../http/reject-upgrade.ts";
import { RelayListener } from "../relay/relay-listener.ts";
import { sendLastAnswer } from "./last-answer.ts";

/** The server's end of a connection whose client never closes. */
class OpenClient extends Duplex {
  got = "";
  readonly #reads: boolean;
  constructor(reads = true) {
    super();
    this.#reads = reads;
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.got += chunk.toString("latin1");
    if (this.#reads) done();
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const relay = new RelayListener({
  privateKey: nodeRandom.bytes(32),
  crypto: nodeCryptoSuite,
  random: nodeRandom,
  clock: monotonicNow,
});
const noRelay = { headers: { upgrade: "websocket" }, socket: { remoteAddress: "192.0.2.1" } } as IncomingMessage;

test.each<[string, (socket: Duplex) => void, string]>([
  ["by the front door", (socket) => rejectUpgrade(socket, new HttpFailure(404, "No")), "HTTP/1.1 404"],
  ["by an app host", (socket) => refuseUpgrade(socket, { status: 401, title: "No", text: "" }), "HTTP/1.1 401"],
  ["by the relay", (socket) => relay.handleUpgrade(noRelay, socket, Buffer.alloc(0)), "HTTP/1.1 426"],
])("security 40: a client that does not close is disconnected after a refusal %s", async (_, refuse, status) => {
  const client = new OpenClient();
  refuse(client);
  client.push("unexpected bytes");
  await vi.advanceTimersByTimeAsync(1_999);
  expect([client.got.slice(0, 12), client.writableFinished, client.destroyed]).toEqual([status, true, false]);
  await vi.advanceTimersByTimeAsync(1);
  expect([client.destroyed, vi.getTimerCount()]).toEqual([true, 0]);
});

test("a client that does not read the answer has longer", async () => {
  const client = new OpenClient(false);
  sendLastAnswer(client, "HTTP/1.1 404 Not Found\r\n\r\n", "a long page");
  await vi.advanceTimersByTimeAsync(29_999);
  expect(client.destroyed).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect([client.destroyed, vi.getTimerCount()]).toEqual([true, 0]);
});

test("a client that closes leaves no timer, and one that is gone gets nothing", async () => {
  const client = new OpenClient();
  sendLastAnswer(client, "HTTP/1.1 404 Not Found\r\n\r\n");
  client.push(null);
  await vi.advanceTimersByTimeAsync(0);
  expect([client.destroyed, vi.getTimerCount()]).toEqual([true, 0]);
  sendLastAnswer(client, "HTTP/1.1 404 Not Found\r\n\r\n");
  expect([client.got.length, vi.getTimerCount()]).toEqual([26, 0]);
});
