/** Much data and many clients: the service carries everything and buffers no more than its windows. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, exec, outcome, run, TestService } from "./testing.ts";

test("64 MiB go through a program unchanged in both directions", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const input = randomBytes(64 * 1024 * 1024);
  const channel = await exec(client, "tee /dev/stderr 2> >(sha256sum > sum) | cat");
  const hash = createHash("sha256");
  let length = 0;
  channel.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    length += chunk.length;
  });
  channel.end(input);
  await once(channel, "close");
  const expected = createHash("sha256").update(input).digest("hex");
  expect(length).toBe(input.length);
  expect(hash.digest("hex")).toBe(expected);
  expect(
    (
      await run(client, "for i in 1 2 3 4 5 6 7 8 9; do test -s sum && break; sleep 0.1; done; cat sum")
    ).stdout.toString(),
  ).toContain(expected);
});

test("our own client and the service agree on packets of 64 KiB", async () => {
  await using t = new TestService();
  const channel = await exec(await t.connect(), "cat");
  const { incoming, outgoing } = channel as unknown as Record<"incoming" | "outgoing", { packetSize: number }>;
  expect([incoming.packetSize, outgoing.packetSize]).toEqual([64 * 1024, 64 * 1024]);
  const sent = randomBytes(1_000_000);
  channel.end(sent);
  expect((await outcome(channel)).stdout.equals(sent)).toBe(true);
});

test("large output on stdout and stderr at the same time is complete on both", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "head -c 9000000 /dev/zero & head -c 8000000 /dev/zero >&2; wait");
  expect(result.stdout.length).toBe(9_000_000);
  expect(result.stderr.length).toBe(8_000_000);
});

test("a client that does not read stops the program, and everything arrives once it reads", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "for i in $(seq 1 64); do head -c 1048576 /dev/zero; echo $i > progress; done");
  await eventually("the first blocks are written", () => progress(t.home) >= 1);
  let before = -1;
  await eventually("the program stands still", () => {
    const same = progress(t.home) === before;
    before = progress(t.home);
    return same && before > 0;
  });
  expect(progress(t.home)).toBeLessThan(16);
  expect((await outcome(channel)).stdout.length).toBe(64 * 1024 * 1024);
});

function progress(home: string): number {
  try {
    return Number(readFileSync(join(home, "progress"), "utf8")) || 0;
  } catch {
    return 0; // not written yet
  }
}

test("a program that does not read stops the client at the window", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "sleep 60");
  const block = Buffer.alloc(256 * 1024);
  let accepted = 0;
  channel.on("error", () => undefined);
  for (let i = 0; i < 256; i++) channel.write(block, () => (accepted += block.length));
  let before = -1;
  await eventually("the client stands still", () => {
    const same = accepted === before;
    before = accepted;
    return same && accepted > 0;
  });
  expect(accepted).toBeLessThanOrEqual(5 * 1024 * 1024);
});

test("fifty clients with four sessions each each get their own answers", async () => {
  await using t = new TestService();
  const clients = await Promise.all(Array.from({ length: 50 }, () => t.connect()));
  const answers = await Promise.all(
    clients.flatMap((client, i) =>
      [0, 1, 2, 3].map(async (k) => (await run(client, `echo ${i}-${k}`)).stdout.toString()),
    ),
  );
  expect(answers).toEqual(clients.flatMap((_, i) => [0, 1, 2, 3].map((k) => `${i}-${k}\n`)));
  expect(t.service.counts.ssh).toBe(0);
});

test("the connection continues under new keys, whichever side asks for them", async () => {
  await using t = new TestService({ limits: { rekeyBytes: 3_000_000 } });
  const client = await t.connect();
  let exchanges = 0;
  const { _protocol: protocol } = client as unknown as { _protocol: { rekey(): void } };
  client.on("handshake", () => {
    exchanges++;
  });
  const result = await run(client, "cat", {}, Buffer.alloc(10_000_000, 7));
  expect(result.stdout.equals(Buffer.alloc(10_000_000, 7))).toBe(true);
  expect(exchanges).toBeGreaterThan(2);
  const before = exchanges;
  protocol.rekey();
  await eventually("the client's exchange is complete", () => exchanges > before);
  expect((await run(client, "echo still here")).stdout.toString()).toBe("still here\n");
});
