import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { viewOf } from "../base/bytes.ts";
import {
  COOKIE_REPLY_LENGTH,
  classifyMessage,
  INITIATION_LENGTH,
  parseMessage,
  RESPONSE_LENGTH,
  writeCookieReply,
  writeInitiation,
  writeResponse,
  writeTransportHeader,
} from "./messages.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

/** The message inside a larger buffer, as in a slot. */
function parseEmbedded(message: Uint8Array) {
  const buffer = new Uint8Array(message.length + 40).fill(0xa5);
  buffer.set(message, 16);
  return parseMessage(buffer, 16, message.length);
}

describe("messages", () => {
  test("an initiation that was written is parsed back", () => {
    fc.assert(
      fc.property(u32, bytesOf(32), bytesOf(48), bytesOf(28), (sender, ephemeral, sealedStatic, sealedTimestamp) => {
        const out = new Uint8Array(INITIATION_LENGTH).fill(0xa5);
        writeInitiation(out, sender, ephemeral, sealedStatic, sealedTimestamp);
        const parsed = parseEmbedded(out);
        expect(parsed).toMatchObject({
          kind: "initiation",
          senderIndex: sender,
          ephemeral,
          sealedStatic,
          sealedTimestamp,
        });
        expect(parsed).toMatchObject({ mac1: new Uint8Array(16), mac2: new Uint8Array(16) });
        expect(parsed).toMatchObject({ beforeMac1: out.subarray(0, 116), beforeMac2: out.subarray(0, 132) });
      }),
    );
  });

  test("a response that was written is parsed back", () => {
    fc.assert(
      fc.property(u32, u32, bytesOf(32), bytesOf(16), (sender, receiver, ephemeral, sealedEmpty) => {
        const out = new Uint8Array(RESPONSE_LENGTH).fill(0xa5);
        writeResponse(out, sender, receiver, ephemeral, sealedEmpty);
        const expected = { kind: "response", senderIndex: sender, receiverIndex: receiver, ephemeral, sealedEmpty };
        expect(parseEmbedded(out)).toMatchObject({ ...expected, beforeMac1: out.subarray(0, 60) });
      }),
    );
  });

  test("a cookie reply and a transport message that were written are parsed back", () => {
    fc.assert(
      fc.property(u32, u32, u32, bytesOf(24), bytesOf(32), (receiver, low, high, nonce, sealedCookie) => {
        const reply = new Uint8Array(COOKIE_REPLY_LENGTH).fill(0xa5);
        writeCookieReply(reply, receiver, nonce, sealedCookie);
        expect(parseEmbedded(reply)).toEqual({ kind: "cookie-reply", receiverIndex: receiver, nonce, sealedCookie });
        const transport = new Uint8Array(48).fill(0xa5);
        writeTransportHeader(viewOf(transport), 0, receiver, low, high);
        const expected = { kind: "transport", receiverIndex: receiver, counterLow: low, counterHigh: high };
        expect(parseEmbedded(transport)).toEqual({ ...expected, sealedPacket: new Uint8Array(32).fill(0xa5) });
      }),
    );
  });

  test.each([
    ["nothing", [], 0, "too-short"],
    ["31 bytes of transport", [4], 31, "too-short"],
    ["a keepalive", [4], 32, "transport"],
    ["a reserved byte that is set", [4, 0, 1], 32, "unknown-type"],
    ["type 0", [0], 148, "unknown-type"],
    ["type 5", [5], 148, "unknown-type"],
    ["an initiation one byte short", [1], 147, "malformed"],
    ["an initiation one byte long", [1], 149, "malformed"],
    ["a response as long as an initiation", [2], 148, "malformed"],
    ["a cookie reply one byte long", [3], 65, "malformed"],
  ] as const)("%s is classified", (_name, start, length, kind) => {
    const bytes = new Uint8Array(200);
    bytes.set(start);
    expect(classifyMessage(bytes, 0, length)).toBe(kind);
  });

  test("no region of any buffer makes the parser throw or read outside", () => {
    const buffer = fc
      .tuple(fc.uint8Array({ maxLength: 200 }), fc.constantFrom(0, 1, 2, 3, 4, 5))
      .map(([bytes, type]) => {
        if (bytes.length > 16) bytes.set([type, 0, 0, 0], 0);
        return bytes;
      });
    fc.assert(
      fc.property(buffer, fc.nat(64), fc.nat(300), (bytes, offset, length) => {
        const parsed = parseMessage(bytes, offset, length);
        if (parsed !== undefined) expect(offset + length).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});
