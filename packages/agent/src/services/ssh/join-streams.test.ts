import { once } from "node:events";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { type ChannelHost, PACKET_BYTES, SshChannel } from "./channel.ts";
import { joinStreams } from "./forwarding.ts";

class Sent implements ChannelHost {
  readonly full = false;
  readonly kinds: string[] = [];
  bytes = 0;
  waitForRoom(): void {}
  sendData(_peer: number, data: Buffer): void {
    this.bytes += data.length;
  }
  sendExtendedData(): void {}
  sendCredit(): void {}
  sendExit(): void {}
  sendEof(): void {
    this.kinds.push("eof");
  }
  sendClose(): void {
    this.kinds.push("close");
  }
}

const closed = (stream: Duplex): Promise<void> => new Promise((resolve) => stream.once("close", resolve));

function joined(): { sent: Sent; channel: SshChannel; service: Duplex } {
  const sent = new Sent();
  const channel = new SshChannel(sent, { sender: 1, window: 1000, packetSize: PACKET_BYTES });
  const service = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
  joinStreams(channel, service as Socket);
  return { sent, channel, service };
}

test("what a service sent before it reset the connection reaches a client that reads slowly", async () => {
  const { sent, channel, service } = joined();
  service.push(Buffer.alloc(100_000));
  await once(service, "data");
  service.destroy(Object.assign(new Error("reset"), { code: "ECONNRESET" }));
  await closed(service);
  expect([sent.bytes, sent.kinds]).toEqual([1000, []]);
  channel.addWindow(200_000);
  await once(channel, "close");
  expect([sent.bytes, sent.kinds]).toEqual([100_000, ["eof", "close"]]);
});

test("a client that closes the channel meanwhile ends the wait", async () => {
  const { sent, channel, service } = joined();
  service.push(Buffer.alloc(100_000));
  await once(service, "data");
  service.destroy(new Error("reset"));
  await closed(service);
  channel.receiveClose();
  await once(channel, "close");
  expect([sent.bytes, sent.kinds]).toEqual([1000, ["close"]]);
});
