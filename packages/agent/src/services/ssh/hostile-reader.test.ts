/** Clients that request much and do not read it. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { duplexPair, eventually, exec, numberOf, outcome, raw, run, TestService } from "./testing.ts";

/**
 * Shows that the service sends no more to `far`, whose reader has stopped, although it had time to: commands of another client
 * ran in between.
 */
async function heldUp(t: TestService, far: Duplex): Promise<void> {
  await eventually("the service is held up", () => far.writableNeedDrain);
  const other = await t.connect();
  let before: number;
  do {
    before = far.writableLength;
    for (let times = 0; times < 5; times++) await run(other, "true");
  } while (far.writableLength !== before);
}

test("a huge window of a client that does not read does not make the service hold the output", async () => {
  await using t = new TestService();
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "::1", port: 1 });
  const client = await t.connectOver(near);
  const channel = await exec(client, "head -c 100000000 /dev/zero");
  raw(client).channelWindowAdjust(numberOf(channel), 0xf000_0000);
  near.pause();
  await heldUp(t, far);
  expect(far.writableLength).toBeLessThan(2 * 1024 * 1024);
  near.resume();
  let length = 0;
  channel.on("data", (chunk: Buffer) => (length += chunk.length));
  await once(channel, "close");
  expect(length).toBe(100_000_000);
});

test("a flood of requests whose answers are not read is no longer read, and is answered later", async () => {
  await using t = new TestService();
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "::1", port: 1 });
  const client = await t.connectOver(near);
  const channel = await exec(client, "cat");
  near.pause();
  for (let i = 0; i < 60_000; i++) raw(client).env(numberOf(channel), "A", "b", true);
  await heldUp(t, far);
  expect(far.writableLength).toBeLessThan(1.25 * 1024 * 1024); // all the answers together are 1.9 MB
  near.resume();
  const done = outcome(channel);
  channel.end("through");
  expect((await done).stdout.toString()).toBe("through");
});
