/** What an SFTP server sends, in pieces of any size, and what no server may send. */
import { Duplex } from "node:stream";
import { encodePacket, RESPONSE } from "coder-agent/services/ssh/sftp/codec";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnswerParser } from "./answer-parser.ts";
import { SftpClient } from "./sftp-client.ts";

const VERSION = encodePacket(RESPONSE.version, { u32: 3 });

/** A channel that answers each write with the next of these buffers. */
function answering(...answers: Buffer[]): Duplex {
  const left = [VERSION, ...answers];
  return new Duplex({
    read: () => undefined,
    write(_chunk, _encoding, done) {
      const next = left.shift();
      if (next !== undefined) this.push(next);
      done();
    },
  });
}

function data(id: number, bytes: string): Buffer {
  return encodePacket(RESPONSE.data, { u32: id }, { string: bytes });
}

describe("AnswerParser", () => {
  it("gives the same answers however they are cut", () => {
    const packet = fc.oneof(
      fc.record({ kind: fc.constant("data" as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
      fc.record({ kind: fc.constant("status" as const), bytes: fc.uint8Array({ maxLength: 300 }) }),
    );
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 8 }), fc.array(fc.nat(40), { minLength: 1 }), (packets, cuts) => {
        const sent = Buffer.concat(
          packets.map(({ kind, bytes }, id) =>
            kind === "data"
              ? encodePacket(RESPONSE.data, { u32: id }, { string: Buffer.from(bytes) })
              : encodePacket(RESPONSE.status, { u32: id }, { raw: Buffer.from(bytes) }),
          ),
        );
        const got: { kind: string; bytes: Uint8Array }[] = [];
        const target = new Uint8Array(300);
        const parser = new AnswerParser({
          target: () => target,
          data: (_id, length) => got.push({ kind: "data", bytes: target.slice(0, length) }),
          answer: (_type, _id, body) => got.push({ kind: "status", bytes: Uint8Array.from(body) }),
        });
        for (let at = 0, i = 0; at < sent.length; i++) {
          const count = 1 + cuts[i % cuts.length]!;
          parser.push(sent.subarray(at, at + count));
          at += count;
        }
        expect(got).toEqual(packets);
      }),
    );
  });

  it("holds no more than one packet of 256 KiB, whatever a server claims", () => {
    const parser = new AnswerParser({
      target: () => new Uint8Array(1),
      data: () => undefined,
      answer: () => undefined,
    });
    expect(() => parser.push(Buffer.from([0, 4, 0, 1, RESPONSE.status, 0, 0, 0, 0]))).toThrow("262145 bytes");
    expect(() =>
      new AnswerParser({ target: () => new Uint8Array(1), data: () => undefined, answer: () => undefined }).push(
        Buffer.alloc(9),
      ),
    ).toThrow("0 bytes");
  });
});

describe("SftpClient", () => {
  const read = async (answer: Buffer): Promise<unknown> => {
    const client = await SftpClient.open(answering(answer));
    return client.read(Buffer.from("h"), 0, new Uint8Array(4)).catch((error: Error) => error.message);
  };

  it.each([
    ["more data than was requested", data(0, "12345"), "more data than was requested"],
    ["data for another request", data(7, "1"), "data that was not requested"],
    ["an answer to no request", encodePacket(RESPONSE.status, { u32: 9 }, { u32: 0 }), "an answer to no request"],
    ["a second version", VERSION, "a second version"],
    ["a handle in the place of data", encodePacket(RESPONSE.handle, { u32: 0 }, { string: "h" }), "unexpected kind"],
    ["success in the place of data", encodePacket(RESPONSE.status, { u32: 0 }, { u32: 0 }), "without meaning"],
    [
      "lengths that disagree",
      encodePacket(RESPONSE.data, { u32: 0 }, { u32: 2 }, { raw: Buffer.alloc(4) }),
      "lengths disagree",
    ],
  ])("%s is an error", async (_what, answer, message) => {
    expect(await read(answer)).toContain(message);
  });

  it("arbitrary bytes are errors or answers, and every request ends", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 60 }), async (bytes) => {
        const channel = answering(Buffer.from(bytes));
        const client = await SftpClient.open(channel);
        const outcome = client.stat("x").then(
          () => "answered",
          () => "refused",
        );
        setImmediate(() => setImmediate(() => channel.push(null)));
        expect(["answered", "refused"]).toContain(await outcome);
      }),
      { numRuns: 300 },
    );
  });

  it("another version of the protocol is refused", async () => {
    const channel = new Duplex({
      read: () => undefined,
      write(_chunk, _encoding, done) {
        this.push(encodePacket(RESPONSE.version, { u32: 2 }));
        done();
      },
    });
    await expect(SftpClient.open(channel)).rejects.toThrow("version 2");
  });

  it("everything under way rejects when the channel ends, and so does what comes later", async () => {
    const channel = answering();
    const client = await SftpClient.open(channel);
    const under = [client.stat("a"), client.open("b", 1), client.read(Buffer.from("h"), 0, new Uint8Array(1))];
    channel.push(null);
    for (const result of await Promise.allSettled(under)) expect(result).toMatchObject({ status: "rejected" });
    await expect(client.stat("c")).rejects.toThrow("ended");
  });
});
