import { blake2s } from "@noble/hashes/blake2.js";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode as h, hexEncode, utf8 } from "../../base/bytes.ts";
import { browserCrypto, browserRandom } from "../../browser/crypto.ts";
import { nodeCryptoSuite } from "./crypto-suite.ts";

/** RFC 7693 appendix E: a sequence that is made from its own length as the seed. */
function selfTestSequence(length: number): Uint8Array {
  let [a, b] = [Math.imul(0xdead4bad, length) >>> 0, 1];
  return Uint8Array.from({ length }, () => {
    [a, b] = [b, (a + b) >>> 0];
    return b >>> 24;
  });
}

/** tests/box.c of NaCl. */
const NACL = {
  alicePrivate: "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
  bobPublic: "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
  key: "1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389",
  nonce: "69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37",
  message:
    "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f4" +
    "1db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52" +
    "f0a089bc76897040e082f937763848645e0705",
  box:
    "f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b" +
    "4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da" +
    "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5",
};

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

  it("security 30: X25519 of RFC 7748 §5.2, both vectors and the rounds", () => {
    const vectors = [
      [
        "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
        "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
        "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
      ],
      [
        "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
        "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
        "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
      ],
    ] as const;
    for (const [scalar, point, shared] of vectors) {
      expect(hexEncode(suite.sharedSecret(h(scalar), h(point))!)).toBe(shared);
    }
    let [scalar, point] = [new Uint8Array(32), new Uint8Array(32)];
    scalar[0] = point[0] = 9;
    const [rounds, expected] =
      suite === nodeCryptoSuite
        ? [1_000, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"]
        : [1, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"]; // slow in JavaScript
    for (let round = 0; round < rounds; round++) [scalar, point] = [suite.sharedSecret(scalar, point)!.slice(), scalar];
    expect(hexEncode(scalar)).toBe(expected);
  });

  it("security 30: BLAKE2s of RFC 7693, the example and the self-test with and without keys", () => {
    expect(hexEncode(suite.blake2s(utf8("abc")))).toBe(
      "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982",
    );
    // Appendix E: a hash over the hashes of four lengths. The suite offers two of the kinds; the library under it has the rest.
    const digests: Uint8Array[] = [];
    for (const length of [16, 20, 28, 32]) {
      for (const inputLength of [0, 3, 64, 65, 255, 1024]) {
        const [input, key] = [selfTestSequence(inputLength), selfTestSequence(length)];
        digests.push(length === 32 ? suite.blake2s(input) : blake2s(input, { dkLen: length }));
        digests.push(length === 16 ? suite.macBlake2s(key, input) : blake2s(input, { dkLen: length, key }));
      }
    }
    expect(hexEncode(suite.blake2s(...digests))).toBe(
      "6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe",
    );
  });

  it("security 30: the box of NaCl's own tests", () => {
    const key = suite.boxKey(h(NACL.alicePrivate), h(NACL.bobPublic))!;
    expect(hexEncode(key)).toBe(NACL.key);
    expect(hexEncode(suite.sealBox(key, h(NACL.nonce), h(NACL.message)))).toBe(NACL.box);
    expect(hexEncode(suite.openBox(key, h(NACL.nonce), h(NACL.box))!)).toBe(NACL.message);
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
