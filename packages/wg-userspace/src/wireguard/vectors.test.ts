import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hexDecode, hexEncode } from "../base/bytes.ts";
import { instant } from "../base/instant.ts";
import { type NodePrivateKey, nodePrivateKey, nodePublicKey } from "../base/keys.ts";
import type { RandomSource } from "../base/ports.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import { prefixesOf, seededRandom, WireguardLink } from "../testing/wireguard-link.ts";
import { CookieChecker, CookieJar } from "./cookie.ts";
import { InitiatorHandshake, type LocalIdentity, ResponderHandshake } from "./handshake.ts";
import {
  COOKIE_REPLY_LENGTH,
  INITIATION_LENGTH,
  parseCookieReply,
  parseInitiation,
  parseResponse,
  RESPONSE_LENGTH,
} from "./messages.ts";
import { CONSTRUCTION, IDENTIFIER, INITIAL_CHAINING_KEY, INITIAL_HASH, kdf1, kdf2, kdf3 } from "./noise.ts";

interface Vectors {
  readonly kdf3: readonly { readonly key: string; readonly input: string; readonly outputs: readonly string[] }[];
  readonly handshake: {
    readonly [name in
      | "initiatorPrivate"
      | "responderPrivate"
      | "initiatorEphemeral"
      | "responderEphemeral"
      | "timestamp"
      | "initiatorPublic"
      | "responderPublic"
      | "initiatorEphemeralPublic"
      | "responderEphemeralPublic"
      | "initiation"
      | "response"
      | "initiatorSendKey"
      | "initiatorReceiveKey"
      | "keepalive"]: string;
  } & { readonly initiatorIndex: number; readonly responderIndex: number };
  readonly construction: { readonly chainingKey: string; readonly hash: string };
  readonly cookie: { readonly [name in "secret" | "source" | "cookie" | "nonce" | "reply" | "mac2"]: string };
}

const path = new URL("../../test/vectors/wireguard.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;
const { handshake, cookie } = vectors;
const now = instant(0);
const noPsk = new Uint8Array(32);
const text = (value: string) => new TextEncoder().encode(value);

/** Yields exactly the given values and then no more. */
function scripted(bytes: readonly string[], words: readonly number[] = []): RandomSource {
  const byteQueue = bytes.map(hexDecode);
  const wordQueue = [...words];
  return {
    bytes(length) {
      const next = byteQueue.shift();
      if (next?.length !== length) throw new Error(`unexpected draw of ${length} bytes`);
      return next;
    },
    uint32() {
      const next = wordQueue.shift();
      if (next === undefined) throw new Error("unexpected draw of a word");
      return next;
    },
  };
}

function identity(privateKey: string, ephemeral: string): LocalIdentity {
  const key: NodePrivateKey = nodePrivateKey(hexDecode(privateKey));
  return { crypto, random: scripted([ephemeral]), privateKey: key, publicKey: nodePublicKey(crypto.publicKey(key)) };
}

describe("security 30: published and computed vectors", () => {
  test("the initial chaining key and hash are the hashes of the two strings", () => {
    expect(hexEncode(crypto.blake2s(text(CONSTRUCTION)))).toBe(vectors.construction.chainingKey);
    expect(hexEncode(INITIAL_CHAINING_KEY)).toBe(vectors.construction.chainingKey);
    expect(hexEncode(crypto.blake2s(INITIAL_CHAINING_KEY, text(IDENTIFIER)))).toBe(vectors.construction.hash);
    expect(hexEncode(INITIAL_HASH)).toBe(vectors.construction.hash);
  });

  test.each(vectors.kdf3)("KDF of key '$key' and input '$input'", ({ key, input, outputs }) => {
    const all = kdf3(crypto, hexDecode(key), hexDecode(input)).map(hexEncode);
    expect(all).toEqual(outputs);
    expect(kdf2(crypto, hexDecode(key), hexDecode(input)).map(hexEncode)).toEqual(outputs.slice(0, 2));
    expect(hexEncode(kdf1(crypto, hexDecode(key), hexDecode(input)))).toBe(outputs[0]);
  });

  test("initiation, response and transport keys come out byte for byte", () => {
    const initiator = identity(handshake.initiatorPrivate, handshake.initiatorEphemeral);
    const responder = identity(handshake.responderPrivate, handshake.responderEphemeral);
    expect(hexEncode(initiator.publicKey)).toBe(handshake.initiatorPublic);
    expect(hexEncode(responder.publicKey)).toBe(handshake.responderPublic);
    const staticSecret = crypto.sharedSecret(initiator.privateKey, responder.publicKey);

    const initiation = new Uint8Array(INITIATION_LENGTH);
    const remote = { publicKey: responder.publicKey, staticSecret };
    const timestamp = hexDecode(handshake.timestamp);
    const waiting = InitiatorHandshake.start(initiator, remote, handshake.initiatorIndex, timestamp, initiation)!;
    new CookieJar(crypto, responder.publicKey).addMacs(initiation, now);
    expect(hexEncode(initiation)).toBe(handshake.initiation);

    const answering = ResponderHandshake.open(responder, parseInitiation(initiation, 0, initiation.length)!)!;
    expect(hexEncode(answering.claimedStatic)).toBe(handshake.initiatorPublic);
    expect(hexEncode(answering.openTimestamp(staticSecret)!)).toBe(handshake.timestamp);
    const response = new Uint8Array(RESPONSE_LENGTH);
    const theirs = answering.respond(handshake.responderIndex, noPsk, response)!;
    new CookieJar(crypto, initiator.publicKey).addMacs(response, now);
    expect(hexEncode(response)).toBe(handshake.response);

    const ours = waiting.finish(parseResponse(response, 0, response.length)!, noPsk)!;
    expect(hexEncode(ours.send)).toBe(handshake.initiatorSendKey);
    expect(hexEncode(ours.receive)).toBe(handshake.initiatorReceiveKey);
    expect(theirs).toEqual({ send: ours.receive, receive: ours.send });
  });

  test("two devices exchange exactly these messages", () => {
    const link = new WireguardLink(crypto);
    link.now = instant(0);
    const unixMs = () => 0x6500_0000 * 1000 + 17; // the second granule of the second
    const a = link.addHost("a", {
      privateKey: nodePrivateKey(hexDecode(handshake.initiatorPrivate)),
      random: scripted([handshake.initiatorEphemeral], [0, handshake.initiatorIndex]),
      unixMs,
    });
    const b = link.addHost("b", {
      privateKey: nodePrivateKey(hexDecode(handshake.responderPrivate)),
      random: scripted([handshake.responderEphemeral], [handshake.responderIndex]),
      unixMs,
    });
    a.device.addPeer({ publicKey: b.key, allowedIPs: prefixesOf(2) }, link.now);
    b.device.addPeer({ publicKey: a.key, allowedIPs: prefixesOf(1) }, link.now);
    a.device.startHandshake(a.peer(b), link.now);
    link.run(100);
    const { initiation, response, keepalive } = handshake;
    expect(link.sent.map((message) => hexEncode(message.bytes))).toEqual([initiation, response, keepalive]);
  });

  test("cookie, cookie reply and mac2 come out byte for byte, and the reply yields the cookie", () => {
    const responderPublic = hexDecode(handshake.responderPublic);
    const source = hexDecode(cookie.source);
    const initiation = hexDecode(handshake.initiation);
    const message = parseInitiation(initiation, 0, initiation.length)!;
    expect(hexEncode(crypto.macBlake2s(hexDecode(cookie.secret), source))).toBe(cookie.cookie);

    const checker = new CookieChecker(crypto, scripted([cookie.secret, cookie.nonce]), responderPublic);
    expect(checker.checkMac1(message)).toBe(true);
    expect(checker.checkMac2(message, source, now)).toBe(false);
    const reply = new Uint8Array(COOKIE_REPLY_LENGTH);
    checker.writeReply(message, message.senderIndex, source, now, reply);
    expect(hexEncode(reply)).toBe(cookie.reply);

    const jar = new CookieJar(crypto, responderPublic);
    const again = initiation.slice().fill(0, 116);
    jar.addMacs(again, now);
    expect(hexEncode(again)).toBe(handshake.initiation);
    expect(jar.consumeReply(parseCookieReply(reply, 0, reply.length)!, now)).toBe(true);
    again.fill(0, 116);
    jar.addMacs(again, now);
    expect(hexEncode(again.subarray(132))).toBe(cookie.mac2);
    expect(checker.checkMac2(parseInitiation(again, 0, again.length)!, source, now)).toBe(true);
    const elsewhere = hexDecode("c00002016ccb");
    expect(checker.checkMac2(parseInitiation(again, 0, again.length)!, elsewhere, now)).toBe(false);
  });

  test("security 29: a handshake with a low-order key is refused on both sides", () => {
    const lowOrder = new Uint8Array(32);
    const remote = { publicKey: nodePublicKey(lowOrder), staticSecret: undefined };
    const us: LocalIdentity = { ...identity(handshake.initiatorPrivate, ""), random: seededRandom(1) };
    const out = new Uint8Array(INITIATION_LENGTH);
    expect(InitiatorHandshake.start(us, remote, 1, new Uint8Array(12), out)).toBeUndefined();
    expect(hexEncode(out)).toBe("00".repeat(INITIATION_LENGTH));
    const forged = hexDecode(handshake.initiation).fill(0, 8, 40);
    expect(ResponderHandshake.open(us, parseInitiation(forged, 0, forged.length)!)).toBeUndefined();
  });
});
