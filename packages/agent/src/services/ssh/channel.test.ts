import { once } from "node:events";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  acceptedPacketBytes,
  type ChannelHost,
  type ExitReport,
  LARGE_PACKET_BYTES,
  PACKET_BYTES,
  SshChannel,
  WINDOW_BYTES,
} from "./channel.ts";

type Sent = ["data" | "stderr", Buffer] | ["credit", number] | ["eof"] | ["exit", ExitReport] | ["close"];

class RecordingHost implements ChannelHost {
  full = false;
  readonly sent: Sent[] = [];
  readonly waiting = new Set<SshChannel>();
  waitForRoom(channel: SshChannel): void {
    this.waiting.add(channel);
  }
  sendData(_peer: number, bytes: Buffer): void {
    this.sent.push(["data", Buffer.from(bytes)]);
  }
  sendExtendedData(_peer: number, bytes: Buffer): void {
    this.sent.push(["stderr", Buffer.from(bytes)]);
  }
  sendCredit(_peer: number, bytes: number): void {
    this.sent.push(["credit", bytes]);
  }
  sendEof(): void {
    this.sent.push(["eof"]);
  }
  sendExit(_peer: number, exit: ExitReport): void {
    this.sent.push(["exit", exit]);
  }
  sendClose(): void {
    this.sent.push(["close"]);
  }
  bytes(kind: "data" | "stderr"): Buffer {
    return Buffer.concat(this.sent.flatMap((item) => (item[0] === kind ? [item[1] as Buffer] : [])));
  }
  get kinds(): string[] {
    return this.sent.map(([kind]) => kind);
  }
}

function open(window: number, packetSize = PACKET_BYTES): { host: RecordingHost; channel: SshChannel } {
  const host = new RecordingHost();
  return { host, channel: new SshChannel(host, { sender: 7, window, packetSize }) };
}

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("nothing is sent beyond the window, in packets no larger than the client accepts", async () => {
  const { host, channel } = open(1000, 300);
  channel.write(Buffer.alloc(2500, 1));
  await tick();
  expect(host.sent.map(([, bytes]) => (bytes as Buffer).length)).toEqual([300, 300, 300, 100]);
  channel.addWindow(5000);
  expect(host.bytes("data").length).toBe(2500);
});

test("large packets go both ways with a client that accepts them, and with no other", async () => {
  for (const [accepts, sizes, taken] of [
    [LARGE_PACKET_BYTES, [LARGE_PACKET_BYTES, LARGE_PACKET_BYTES, 1], LARGE_PACKET_BYTES],
    [4 * LARGE_PACKET_BYTES, [LARGE_PACKET_BYTES, LARGE_PACKET_BYTES, 1], LARGE_PACKET_BYTES],
    [PACKET_BYTES, [...Array.from({ length: 4 }, () => PACKET_BYTES), 1], PACKET_BYTES],
    [LARGE_PACKET_BYTES - 1, [LARGE_PACKET_BYTES - 1, LARGE_PACKET_BYTES - 1, 3], PACKET_BYTES],
  ] as const) {
    const { host, channel } = open(WINDOW_BYTES, accepts);
    channel.write(Buffer.alloc(2 * LARGE_PACKET_BYTES + 1));
    await tick();
    expect(host.sent.map(([, bytes]) => (bytes as Buffer).length)).toEqual(sizes);
    expect(acceptedPacketBytes(accepts)).toBe(taken);
    expect(channel.receive(Buffer.alloc(taken))).toBe(true);
  }
});

test("stdout and stderr that wait for window at the same time both arrive complete and in order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ stderr: fc.boolean(), length: fc.integer({ min: 0, max: 3000 }) }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 0, max: 4000 }), { maxLength: 40 }),
      async (writes, adjustments) => {
        const { host, channel } = open(100, 512);
        const expected = { data: [] as Buffer[], stderr: [] as Buffer[] };
        writes.forEach(({ stderr, length }, i) => {
          const bytes = Buffer.alloc(length, i + 1);
          expected[stderr ? "stderr" : "data"].push(bytes);
          (stderr ? channel.stderr : channel).write(bytes);
        });
        for (const bytes of adjustments) {
          host.full = bytes % 3 === 0;
          channel.addWindow(bytes);
          await tick();
        }
        host.full = false;
        channel.addWindow(100_000);
        channel.finish({ status: 0 });
        await once(channel, "finish");
        expect(host.bytes("data").equals(Buffer.concat(expected.data))).toBe(true);
        expect(host.bytes("stderr").equals(Buffer.concat(expected.stderr))).toBe(true);
        expect(host.kinds.slice(-3)).toEqual(["eof", "exit", "close"]);
      },
    ),
    { numRuns: 60 },
  );
});

test("a full transport holds data back until there is room", async () => {
  const { host, channel } = open(100_000);
  host.full = true;
  channel.write(Buffer.alloc(10));
  await tick();
  expect(host.sent).toEqual([]);
  expect([...host.waiting]).toEqual([channel]);
  host.full = false;
  channel.flush();
  expect(host.bytes("data").length).toBe(10);
});

test("unread input closes the window, reading opens it again", async () => {
  const { host, channel } = open(0);
  const packet = Buffer.alloc(PACKET_BYTES);
  for (let received = 0; received < WINDOW_BYTES; received += packet.length) expect(channel.receive(packet)).toBe(true);
  expect(host.kinds).toEqual([]);
  channel.resume();
  await tick();
  await tick();
  const credited = host.sent.reduce((sum, [kind, bytes]) => sum + (kind === "credit" ? (bytes as number) : 0), 0);
  expect(credited).toBeGreaterThanOrEqual((WINDOW_BYTES * 7) / 8);
});

test("any order of packets and reads never stalls: consumed bytes are credited in time", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 1, max: PACKET_BYTES }), fc.boolean()), { maxLength: 400 }),
      async (steps) => {
        const { host, channel } = open(0);
        let window = WINDOW_BYTES;
        let counted = 0;
        let total = 0;
        for (const [length, read] of steps) {
          for (; counted < host.sent.length; counted++) {
            const item = host.sent[counted];
            if (item?.[0] === "credit") window += item[1];
          }
          if (length > window) {
            expect(channel.readableLength).toBeGreaterThan(0);
            channel.read();
            await tick();
            continue;
          }
          window -= length;
          total += length;
          expect(channel.receive(Buffer.alloc(length))).toBe(true);
          if (read) channel.read();
        }
        expect(total).toBeGreaterThanOrEqual(0);
      },
    ),
    { numRuns: 30 },
  );
});

test("a window beyond 32 bits is a breach", () => {
  const { channel } = open(0xffff_fff0);
  expect(channel.addWindow(0x10)).toBe(false);
  expect(channel.addWindow(0xf)).toBe(true);
});

test("a packet above the advertised size is read, and data after the end of file is dropped", async () => {
  const { channel } = open(0);
  expect(channel.receive(Buffer.alloc(PACKET_BYTES + 1))).toBe(true);
  channel.receiveEof();
  expect(channel.receive(Buffer.alloc(1))).toBe(true);
  let bytes = 0;
  for await (const chunk of channel) bytes += (chunk as Buffer).length;
  expect(bytes).toBe(PACKET_BYTES + 1);
});

test("a tenth of the window may be exceeded, in a row, and no more", async () => {
  const { channel } = open(0);
  const tenth = Math.floor(WINDOW_BYTES / 10);
  const fill = async (bytes: number): Promise<void> => {
    for (let left = bytes; left > 0; left -= PACKET_BYTES)
      expect(channel.receive(Buffer.alloc(Math.min(left, PACKET_BYTES)))).toBe(true);
  };
  let read = 0;
  await fill(WINDOW_BYTES + tenth);
  channel.on("data", (chunk: Buffer) => {
    read += chunk.length;
  });
  await tick();
  expect(read).toBe(WINDOW_BYTES + tenth);
  channel.pause();
  await fill(WINDOW_BYTES + tenth);
  expect(channel.receive(Buffer.alloc(1))).toBe(false);
});

test("after the client closed, received data can be read and written data is dropped", async () => {
  const { host, channel } = open(0);
  const closed = once(channel, "peerclose");
  channel.receive(Buffer.from("last words"));
  channel.write("waiting for window");
  channel.receiveClose();
  await closed;
  channel.end("dropped");
  const chunks: Buffer[] = [];
  for await (const chunk of channel) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks).toString()).toBe("last words");
  expect(host.kinds).toEqual(["close"]);
});
