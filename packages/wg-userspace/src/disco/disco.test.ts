import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { hexDecode, hexEncode } from "../base/bytes.ts";
import { looksLikeDisco } from "../base/disco-marker.ts";
import { formatAddrPort, parseAddrPort } from "../base/ip.ts";
import { discoPublicKey, nodePublicKey } from "../base/keys.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import { discoSender, openDisco, sealDisco } from "./box.ts";
import {
  encodeCallMeMaybe,
  encodePing,
  encodePong,
  MAX_CALL_ME_MAYBE_ENDPOINTS,
  parseDiscoMessage,
  relayPseudoAddress,
} from "./message.ts";

const range = (from: number, to: number): Uint8Array => Uint8Array.from({ length: to - from + 1 }, (_, i) => from + i);
const TX_ID = range(1, 12);
const SENDER = range(1, 32);
const RECEIVER = range(0x81, 0xa0);
const NODE_KEY = nodePublicKey(crypto.publicKey(SENDER));
const at = (text: string) => parseAddrPort(text)!;

it("security 30: seals the packet of the specification's vector", () => {
  const boxKey = crypto.boxKey(SENDER, crypto.publicKey(RECEIVER))!;
  const sender = discoPublicKey(crypto.publicKey(SENDER));
  const packet = sealDisco(crypto, sender, boxKey, range(0, 23), encodePing(TX_ID, NODE_KEY));
  expect(packet).toHaveLength(1310);
  expect(hexEncode(packet.subarray(0, 86))).toBe(
    "5453f09f92ac07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c000102030405060708090a0b0c0d0e0f1011121314151617955283335aac5ad9d0ae5bfa5c17e3aaf7ce47a9da510194",
  );
  expect(createHash("sha256").update(packet).digest("hex")).toBe(
    "3381385e64d93863ab73c93908f502b07460eda99bf0d22b59bf4a0d49a64d6e",
  );
  expect(looksLikeDisco(packet, 0, packet.length)).toBe(true);
  expect(discoSender(packet)).toEqual(sender);
  const opened = openDisco(crypto, crypto.boxKey(RECEIVER, sender)!, packet)!;
  expect(parseDiscoMessage(opened)).toEqual({ kind: "ping", txId: TX_ID, nodeKey: NODE_KEY });
});

it("reads the plaintexts of the specification's vectors", () => {
  const parse = (hex: string) => parseDiscoMessage(hexDecode(hex));
  const id = hexEncode(TX_ID);
  expect(parse(`0100${id}`)).toEqual({ kind: "ping", txId: TX_ID, nodeKey: undefined });
  expect(parse(`0200${id}00000000000000000000ffff0203040504d2`)).toEqual({
    kind: "pong",
    txId: TX_ID,
    source: at("2.3.4.5:1234"),
  });
  expect(parse(`0200${id}fed000000000000000000000000000121a0a`)).toEqual({
    kind: "pong",
    txId: TX_ID,
    source: at("[fed0::12]:6666"),
  });
  expect(parse("0300")).toEqual({ kind: "call-me-maybe", endpoints: [] });
  const two = "030000000000000000000000ffff01020304023720010000000000000000000000003456" + "0315";
  expect(parse(two)).toEqual({ kind: "call-me-maybe", endpoints: [at("1.2.3.4:567"), at("[2001::3456]:789")] });
  expect(hexEncode(encodeCallMeMaybe([at("1.2.3.4:567"), at("[2001::3456]:789")]))).toBe(two);
});

it("a pong is padded like a ping and reads back", () => {
  const bytes = encodePong(TX_ID, relayPseudoAddress(999));
  expect(bytes).toHaveLength(1232);
  expect(parseDiscoMessage(bytes)).toEqual({ kind: "pong", txId: TX_ID, source: at("127.3.3.40:999") });
});

it("a CallMeMaybe of another version or odd length withdraws all endpoints", () => {
  const good = encodeCallMeMaybe([at("1.2.3.4:5")]);
  const newer = good.slice();
  newer[1] = 1;
  for (const bytes of [newer, good.subarray(0, 19), Uint8Array.of(...good, 0)])
    expect(parseDiscoMessage(bytes)).toEqual({ kind: "call-me-maybe", endpoints: [] });
});

it("a CallMeMaybe is read up to its limit", () => {
  const many = encodeCallMeMaybe(Array.from({ length: 200 }, (_, i) => at(`10.0.0.1:${i + 1}`)));
  const read = parseDiscoMessage(many);
  expect(read?.kind === "call-me-maybe" && read.endpoints.length).toBe(MAX_CALL_ME_MAYBE_ENDPOINTS);
});

it("disco is distinguished from other datagrams by the whole magic and by length", () => {
  const least = new Uint8Array(62 + 3);
  least.set(hexDecode("5453f09f92ac"), 3);
  expect(looksLikeDisco(least, 3, 62)).toBe(true);
  expect(looksLikeDisco(least, 3, 61)).toBe(false);
  expect(looksLikeDisco(least, 0, 62)).toBe(false);
  for (let i = 3; i < 9; i++) expect(looksLikeDisco(least.with(i, least[i]! ^ 1), 3, 62), `byte ${i - 3}`).toBe(false);
});

it("pings have the requested padding, and never less than their content", () => {
  const ping = { kind: "ping", txId: TX_ID, nodeKey: NODE_KEY };
  for (const [payload, length] of [
    [undefined, 1310 - 78],
    [0, 46],
    [126, 48],
    [1000, 1000 - 78],
  ] as const) {
    const bytes = encodePing(TX_ID, NODE_KEY, payload);
    expect(bytes).toHaveLength(length);
    expect(parseDiscoMessage(bytes)).toEqual(ping);
  }
});

it("a truncated message is invalid, and a ping's key counts only when it is complete", () => {
  const ping = encodePing(TX_ID, NODE_KEY, 0);
  expect(parseDiscoMessage(ping.subarray(0, 45))).toEqual({ kind: "ping", txId: TX_ID, nodeKey: undefined });
  for (const length of [0, 1, 2, 13]) expect(parseDiscoMessage(ping.subarray(0, length)), `${length}`).toBeUndefined();
  const pong = encodePong(TX_ID, at("1.2.3.4:5"));
  expect(parseDiscoMessage(pong.subarray(0, 32))).toEqual({ kind: "pong", txId: TX_ID, source: at("1.2.3.4:5") });
  expect(parseDiscoMessage(pong.subarray(0, 31))).toBeUndefined();
  expect(parseDiscoMessage(Uint8Array.of(3))).toBeUndefined();
});

it("only ::ffff:0:0/96 is an IPv4 endpoint", () => {
  const bytes = encodeCallMeMaybe([at("1.2.3.4:567")]);
  for (let i = 0; i < 12; i++) {
    const message = parseDiscoMessage(bytes.with(2 + i, bytes[2 + i]! ^ 1));
    const [endpoint] = message?.kind === "call-me-maybe" ? message.endpoints : [];
    expect(endpoint?.address, `byte ${i}`).toHaveLength(16);
  }
});

it("messages of other types are ignored", () => {
  for (const type of [0, 4, 7, 9, 255])
    expect(parseDiscoMessage(Uint8Array.of(type, 0, ...range(0, 99)))).toBeUndefined();
});

it("security 42: no bytes make the parser throw, and what it parses can be encoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.integer({ min: 0, max: 4 }), (bytes, type) => {
      if (bytes.length > 0) bytes[0] = type;
      const message = parseDiscoMessage(bytes);
      if (message?.kind === "call-me-maybe") message.endpoints.map(formatAddrPort);
    }),
  );
});

it("security 28: a box with any bit changed does not open", () => {
  const boxKey = crypto.boxKey(SENDER, crypto.publicKey(RECEIVER))!;
  const packet = sealDisco(
    crypto,
    discoPublicKey(crypto.publicKey(SENDER)),
    boxKey,
    range(0, 23),
    encodePing(TX_ID, NODE_KEY),
  );
  const theirs = crypto.boxKey(RECEIVER, crypto.publicKey(SENDER))!;
  fc.assert(
    fc.property(fc.integer({ min: 38 * 8, max: packet.length * 8 - 1 }), (bit) => {
      const copy = packet.slice();
      copy[bit >> 3]! ^= 1 << (bit & 7);
      expect(openDisco(crypto, theirs, copy)).toBeUndefined();
    }),
    { numRuns: 60 },
  );
});
