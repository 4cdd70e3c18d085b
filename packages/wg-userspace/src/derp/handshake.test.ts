import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode, hexEncode, utf8 } from "../base/bytes.ts";
import { nodeCryptoSuite as crypto } from "../io/host/crypto-suite.ts";
import {
  CLIENT_INFO_MAX_BYTES,
  clientInfoFrame,
  openClientInfo,
  openServerInfo,
  parseServerKey,
  serverInfoFrame,
} from "./handshake.ts";

const counting = (from: number): Uint8Array => Uint8Array.from({ length: 32 }, (_, i) => from + i);
const clientPrivate = counting(0x01);
const serverPrivate = counting(0x81);
const clientPublic = crypto.publicKey(clientPrivate);
const serverPublic = crypto.publicKey(serverPrivate);
const nonce = Uint8Array.from({ length: 24 }, (_, i) => i);
const boxKey = crypto.boxKey(clientPrivate, serverPublic)!;

/** A ClientInfo payload with any text in the box. */
function sealed(text: string): Uint8Array {
  const box = crypto.sealBox(boxKey, nonce, utf8(text));
  return Uint8Array.from([...clientPublic, ...nonce, ...box]);
}
const open = (payload: Uint8Array) => openClientInfo(crypto, serverPrivate, payload, 0, payload.length);

describe("DERP handshake", () => {
  it("produces the published ClientInfo vector byte for byte", () => {
    expect(hexEncode(serverPublic)).toBe("883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77");
    expect(hexEncode(boxKey)).toBe("ea59c8b4c39ca3a84465f8cf525ba9710b09e0202c9ba6ca87f3c2115ffcdfd1");
    const bytes = clientInfoFrame(crypto, clientPublic, boxKey, nonce, {
      version: 2,
      canAckPings: true,
      isProber: false,
    });
    expect(hexEncode(bytes)).toBe(
      "0200000068" +
        "07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c" +
        "000102030405060708090a0b0c0d0e0f1011121314151617" +
        "5242a22ccc844a98af5e60c3720086b88ded30ceab266dfdfcbf3bb0e5eef1819588d5bb9962a2031c1b5dc1b0654de1",
    );
    const opened = openClientInfo(crypto, serverPrivate, bytes, 5, bytes.length - 5);
    expect(opened?.publicKey).toEqual(clientPublic);
    expect(opened?.info).toEqual({ version: 2, canAckPings: true, isProber: false });
  });

  it("matches keys without regard to case and ignores unknown ones", () => {
    expect(open(sealed('{"Version":2,"MESHKEY":"m","canackpings":true,"isProber":true,"New":[1]}'))?.info).toEqual({
      version: 2,
      meshKey: "m",
      canAckPings: true,
      isProber: true,
    });
  });

  it.each(["", "null", "[]", "7", '{"version":"2"}', '{"version":-1}', "{", '{"version":1e400}', "\u0000"])(
    "refuses the client info %j",
    (text) => {
      expect(open(sealed(text))).toBeUndefined();
    },
  );

  it("refuses deep nesting without throwing", () => {
    const text = `{"version":2,"x":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    const info = open(sealed(text))?.info;
    expect(info === undefined || info.version === 2).toBe(true);
  });

  it("refuses a box under another key, an all-zero key, and lengths outside the limits", () => {
    const good = sealed('{"version":2}');
    expect(open(good)).toBeDefined();
    const otherKey = good.slice();
    otherKey.set(crypto.publicKey(counting(3)));
    expect(open(otherKey)).toBeUndefined();
    expect(open(good.slice().fill(0, 0, 32))).toBeUndefined();
    expect(open(good.subarray(0, 55))).toBeUndefined();
    expect(
      openClientInfo(crypto, serverPrivate, new Uint8Array(CLIENT_INFO_MAX_BYTES + 1), 0, CLIENT_INFO_MAX_BYTES + 1),
    ).toBeUndefined();
    for (let i = 0; i < good.length; i++) {
      const damaged = good.slice();
      damaged[i]! ^= 1;
      // The top bit of an X25519 key does not count; everything else does.
      expect(open(damaged) === undefined || i === 31).toBe(true);
    }
  });

  it("carries server info with and without a rate", () => {
    for (const info of [{ version: 2 }, { version: 2, tokenBucketBytesPerSecond: 1000, tokenBucketBytesBurst: 2000 }]) {
      const bytes = serverInfoFrame(crypto, boxKey, nonce, info);
      expect(openServerInfo(crypto, boxKey, bytes, 5, bytes.length - 5)).toEqual(info);
    }
  });

  it("accepts a server key with bytes behind it and refuses a wrong magic or length", () => {
    const payload = hexDecode(`44455250f09f9491${"ab".repeat(32)}ffff`);
    expect(parseServerKey(payload, 0, payload.length)).toEqual(new Uint8Array(32).fill(0xab));
    expect(parseServerKey(payload, 0, 39)).toBeUndefined();
    expect(parseServerKey(payload.with(0, 0x45), 0, payload.length)).toBeUndefined();
    expect(parseServerKey(new Uint8Array(1025), 0, 1025)).toBeUndefined();
  });

  it("keeps no view into the buffer a socket delivered", () => {
    const payload = Buffer.from(sealed('{"version":2}'));
    const opened = openClientInfo(crypto, serverPrivate, payload, 0, payload.length)!;
    const serverKey = Buffer.from(`44455250f09f9491${"ab".repeat(32)}`, "hex");
    const key = parseServerKey(serverKey, 0, serverKey.length)!;
    payload.fill(0);
    serverKey.fill(0);
    expect(opened.publicKey).toEqual(clientPublic);
    expect(key).toEqual(new Uint8Array(32).fill(0xab));
  });

  it("never throws on arbitrary payloads", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(openClientInfo(crypto, serverPrivate, bytes, 0, bytes.length)).toBeUndefined();
        expect(openServerInfo(crypto, boxKey, bytes, 0, bytes.length)).toBeUndefined();
        parseServerKey(bytes, 0, bytes.length);
      }),
      { numRuns: 100 },
    );
  });
});
