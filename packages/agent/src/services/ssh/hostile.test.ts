import { once } from "node:events";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import type { Client, ClientChannel } from "ssh2";
import { expect, test } from "vitest";
import { duplexPair, eventually, exec, numberOf, outcome, raw, run, TestService } from "./testing.ts";

function sendPayload(client: Client, payload: Uint8Array): void {
  const { write } = raw(client)._packetRW;
  const packet = write.alloc(payload.length);
  packet.set(payload, write.allocStart);
  raw(client)._cipher.encrypt(write.finalize(packet));
}

async function dropped(t: TestService): Promise<void> {
  await eventually("the connection is dropped", () => t.service.connections === 0);
}

test("sending beyond the window ends the connection", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "sleep 5");
  const block = Buffer.alloc(32 * 1024);
  for (let i = 0; i < 80; i++) raw(client).channelData(numberOf(channel), block);
  await dropped(t);
  expect(t.log.some((line) => String(line.fields?.["error"]).includes("window"))).toBe(true);
});

test("a window beyond 32 bits ends the connection", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "sleep 5");
  raw(client).channelWindowAdjust(numberOf(channel), 0xffff_ffff);
  await dropped(t);
});

test("packet sizes too small to carry data are refused when the channel is opened", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const failures: number[] = [];
  raw(client)._handlers["CHANNEL_OPEN_FAILURE"] = ((_self: unknown, recipient: number) =>
    failures.push(recipient)) as never;
  raw(client).session(1000, 1 << 20, 0);
  raw(client).session(1001, 1 << 20, 255);
  await eventually("both are refused", () => failures.length === 2);
  expect(failures).toEqual([1000, 1001]);
  expect((await run(client, "echo on")).stdout.toString()).toBe("on\n");
});

test("channels of one client are limited", async () => {
  await using t = new TestService({ limits: { maxChannels: 5 } });
  const client = await t.connect();
  const open = await Promise.all(Array.from({ length: 5 }, () => exec(client, "cat")));
  await expect(exec(client, "cat")).rejects.toThrow("too many channels");
  const first = open[0]!;
  const done = outcome(first);
  first.end();
  await done;
  expect((await run(client, "echo again")).stdout.toString()).toBe("again\n");
});

test("sessions over all clients are limited", async () => {
  await using t = new TestService({ limits: { maxSessions: 2 } });
  const client = await t.connect();
  await Promise.all([exec(client, "cat"), exec(client, "cat")]);
  await expect(exec(await t.connect(), "cat")).rejects.toThrow("Unable to exec");
});

test("connections are limited", async () => {
  await using t = new TestService({ limits: { maxConnections: 2 } });
  await t.connect();
  await t.connect();
  await expect(t.connect()).rejects.toThrow();
  expect(t.service.connections).toBe(2);
});

test("a client that does not log in is dropped after the grace period", async () => {
  await using t = new TestService({ limits: { loginGraceMs: 60 } });
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "::1", port: 1 });
  near.resume();
  await dropped(t);
});

test("hostile names of signals, subsystems and terminals, and long commands, fail only themselves", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "cat");
  const number = numberOf(channel);
  // ssh2's client refuses unknown signal names, so the request is written by hand.
  for (const name of ["", "KILL\0", "SIGKILL", "STOP", "x".repeat(20_000), "__proto__"]) {
    sendPayload(client, signalRequest(number, name));
  }
  await expect(exec(client, "x".repeat(128 * 1024))).rejects.toThrow("Unable to exec");
  await expect(exec(client, "echo a\0b")).rejects.toThrow("Unable to exec");
  const subsystem = new Promise<ClientChannel>((resolve, reject) => {
    client.subsys("../../bin/sh\0".repeat(1000), (error, opened) =>
      error === undefined ? resolve(opened) : reject(error),
    );
  });
  await expect(subsystem).rejects.toThrow("Unable to start subsystem");
  const done = outcome(channel);
  channel.end("still alive");
  expect((await done).stdout.toString()).toBe("still alive");
});

function signalRequest(channel: number, name: string): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    return Buffer.concat([uint32(bytes.length), bytes]);
  };
  return Buffer.concat([Buffer.from([98]), uint32(channel), text("signal"), Buffer.from([0]), text(name)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

test("environment floods are bounded and the session still starts", async () => {
  await using t = new TestService({ limits: { maxEnvBytes: 5_000 } });
  const env = Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`V${i}`, "x".repeat(100)]));
  const result = await run(await t.connect(), "env | grep -c '^V[0-9]'", { env });
  expect(Number(result.stdout)).toBeGreaterThan(10);
  expect(Number(result.stdout)).toBeLessThan(50);
});

test("of a flood of global requests no more is read than can be answered, and each is", async () => {
  await using t = new TestService();
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "fd7a:115c:a1e0::1", port: 4321 });
  const client = await t.connectOver(near);
  let pauses = 0;
  const pause = far.pause.bind(far);
  far.pause = () => {
    pauses++;
    return pause();
  };
  let answers = 0;
  raw(client)._handlers["REQUEST_FAILURE"] = (() => answers++) as never;
  for (let i = 0; i < 5_000; i++) raw(client).ping();
  await eventually("all are answered", () => answers === 5_000);
  expect(pauses).toBeGreaterThan(0);
  expect((await run(client, "echo on")).stdout.toString()).toBe("on\n");
});

test("a burst of forwards, as OpenSSH sends it for a long list of RemoteForward, is served whole", async () => {
  await using t = new TestService();
  const client = await t.connect();
  let ports = 0;
  raw(client)._handlers["REQUEST_SUCCESS"] = (() => ports++) as never;
  for (let i = 0; i < 100; i++) raw(client).tcpipForward("127.0.0.1", 0, true);
  await eventually("all listen", () => ports === 100);
});

test("messages for channels that do not exist, twice-closed ones, or after end of file are survived", async () => {
  await using t = new TestService();
  const client = await t.connect();
  for (const number of [7, 4_294_967_294]) {
    raw(client).channelData(number, Buffer.from("x"));
    raw(client).channelEOF(number);
    raw(client).channelWindowAdjust(number, 1);
    raw(client).channelClose(number);
  }
  const channel = await exec(client, "true");
  const number = numberOf(channel);
  await once(channel.resume(), "close");
  raw(client).channelClose(number);
  raw(client).channelEOF(number);
  expect((await run(client, "echo on")).stdout.toString()).toBe("on\n");
});

test("security 42: any message after login is answered, ignored or ends the connection; nothing is thrown and others are not affected", async () => {
  await using t = new TestService();
  const bystander = await t.connect();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 127 }), fc.uint8Array({ maxLength: 60 })), {
        minLength: 1,
        maxLength: 8,
      }),
      async (messages) => {
        const client = await t.connect();
        client.on("error", () => undefined);
        for (const [type, bytes] of messages) sendPayload(client, Buffer.from([type, ...bytes]));
        await new Promise((resolve) => setImmediate(resolve));
        client.destroy();
      },
    ),
    { numRuns: 60 },
  );
  expect((await run(bystander, "echo unharmed")).stdout.toString()).toBe("unharmed\n");
  await eventually("only the bystander is left", () => t.service.connections === 1);
});

test("security 42: any bytes instead of SSH end only their own connection", async () => {
  await using t = new TestService({ limits: { loginGraceMs: 300 } });
  const streams: Duplex[] = [];
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, greeted) => {
      const [near, far] = duplexPair();
      t.service.handleConnection(far, { address: "::1", port: 1 });
      near.resume();
      if (greeted) near.write("SSH-2.0-fuzz\r\n");
      near.write(Buffer.from(bytes));
      streams.push(near);
    }),
    { numRuns: 100 },
  );
  await dropped(t);
  for (const stream of streams) stream.destroy();
});
