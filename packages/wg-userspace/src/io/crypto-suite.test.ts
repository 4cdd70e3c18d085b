import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode as h, hexEncode, utf8 } from "../base/bytes.ts";
import { browserCrypto, browserRandom } from "./browser-crypto.ts";
import { nodeCryptoSuite } from "./crypto-suite.ts";

describe.each([
  ["node:crypto", nodeCryptoSuite],
  ["what browsers have", browserCrypto],
])("CryptoSuite on %s", (_, suite) => {
  it("security 30: derives the public key of RFC 7748 §6.1 and agrees on a secret from both sides", () => {
    const bob = h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    const alice = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    expect(hexEncode(suite.publicKey(bob))).toBe("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    expect(suite.sharedSecret(alice, suite.publicKey(bob))).toEqual(suite.sharedSecret(bob, suite.publicKey(alice)));
  });

  it("security 29: refuses a public key that gives an all-zero secret", () => {
    expect(suite.sharedSecret(new Uint8Array(32).fill(7), new Uint8Array(32))).toBeUndefined();
  });

  it("security 30: derives the box key of the DERP notes", () => {
    const client = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const server = Uint8Array.from({ length: 32 }, (_, i) => 0x81 + i);
    expect(hexEncode(suite.publicKey(server))).toBe("883186b800b41d5cf0429695da9b3cc4f328ebcd184a6e482fa578c103f06c77");
    const key = suite.boxKey(client, suite.publicKey(server))!;
    expect(hexEncode(key)).toBe("ea59c8b4c39ca3a84465f8cf525ba9710b09e0202c9ba6ca87f3c2115ffcdfd1");
    const nonce = Uint8Array.from({ length: 24 }, (_, i) => i);
    const sealed = suite.sealBox(key, nonce, utf8('{"version":2,"CanAckPings":true}'));
    expect(hexEncode(sealed)).toBe(
      "5242a22ccc844a98af5e60c3720086b88ded30ceab266dfdfcbf3bb0e5eef1819588d5bb9962a2031c1b5dc1b0654de1",
    );
    expect(suite.openBox(key, nonce, sealed)).toEqual(utf8('{"version":2,"CanAckPings":true}'));
    sealed[20] = sealed[20]! ^ 1;
    expect(suite.openBox(key, nonce, sealed)).toBeUndefined();
  });

  it("returns undefined for a wrong tag", () => {
    const key = new Uint8Array(32).fill(1);
    const sealed = suite.seal(key, 7, utf8("hello"), utf8("ad"));
    expect(suite.open(key, 7, sealed, utf8("ad"))).toEqual(utf8("hello"));
    expect(suite.open(key, 8, sealed, utf8("ad"))).toBeUndefined();
    expect(suite.open(key, 7, sealed.subarray(0, 3), utf8("ad"))).toBeUndefined();
  });
});

describe("the two suites", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
  const text = fc.uint8Array({ maxLength: 200 });

  it("compute the same, and open what the other sealed", () => {
    const [node, page] = [nodeCryptoSuite, browserCrypto];
    fc.assert(
      fc.property(bytes(32), bytes(32), bytes(24), fc.nat(), text, text, (key, other, nonce, counter, plain, ad) => {
        const theirs = node.publicKey(other);
        expect(page.publicKey(other)).toEqual(theirs);
        expect(page.sharedSecret(key, theirs)).toEqual(node.sharedSecret(key, theirs));
        expect(page.boxKey(key, theirs)).toEqual(node.boxKey(key, theirs));
        expect(page.blake2s(plain, ad)).toEqual(node.blake2s(plain, ad));
        expect(page.hmacBlake2s(key, plain, ad)).toEqual(node.hmacBlake2s(key, plain, ad));
        expect(page.macBlake2s(key, plain, ad)).toEqual(node.macBlake2s(key, plain, ad));
        for (const [a, b] of [
          [node, page],
          [page, node],
        ] as const) {
          expect(b.open(key, counter, a.seal(key, counter, plain, ad), ad)).toEqual(plain);
          expect(b.openX(key, nonce, a.sealX(key, nonce, plain, ad), ad)).toEqual(plain);
          expect(b.openBox(key, nonce, a.sealBox(key, nonce, plain))).toEqual(plain);
        }
      }),
      { numRuns: 25 },
    );
  });

  it("compare all bytes, and draw fresh ones", () => {
    expect(browserCrypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(browserCrypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(browserCrypto.equal(Uint8Array.of(1, 2), Uint8Array.of(1, 2, 3))).toBe(false);
    expect(browserRandom.bytes(32)).not.toEqual(browserRandom.bytes(32));
    expect(new Set(Array.from({ length: 8 }, () => browserRandom.uint32())).size).toBeGreaterThan(1);
  });
});
