/**
 * The primitives against RFC 8439's own vectors. Transport packets have a nonce that starts with four zero bytes and no
 * additional data, so the JavaScript cipher is checked in full, and the module in what it can express: every key stream with such
 * a nonce, and Poly1305 through its own export, once hashing between the rounds of ChaCha20 and once alone.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode, hexEncode } from "../base/bytes.ts";
import { chacha20Block, chacha20Xor } from "./chacha20.ts";
import { openChaCha20Poly1305, sealChaCha20Poly1305 } from "./chacha20-poly1305.ts";
import { poly1305 } from "./poly1305.ts";
import { createWasmCipher, instantiateAead } from "./wasm-cipher.ts";

interface Vectors {
  readonly chacha20: { name: string; key: string; nonce: string; counter: number; input: string; output: string }[];
  readonly poly1305: { name: string; key: string; message: string; tag: string }[];
  readonly aead: { name: string; key: string; nonce: string; ad: string; plaintext: string; sealed: string }[];
}
const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, "../../test/vectors/aead.json"), "utf8"));
const wasm = createWasmCipher({ txSlots: 32, rxSlots: 32, stride: 9216 })!;

describe("security 30: ChaCha20 in JavaScript", () => {
  it.each(vectors.chacha20)("gives RFC 8439 $name", ({ key, nonce, counter, input, output }) => {
    const bytes = hexDecode(input);
    chacha20Xor(hexDecode(key), counter, hexDecode(nonce), bytes);
    expect(hexEncode(bytes)).toBe(output);
  });

  it("gives single blocks as in the stream", () => {
    const [key, nonce] = [hexDecode("17".repeat(32)), hexDecode("29".repeat(12))];
    const stream = new Uint8Array(256);
    chacha20Xor(key, 5, nonce, stream);
    for (let block = 0; block < 4; block++)
      expect(chacha20Block(key, 5 + block, nonce)).toEqual(stream.subarray(64 * block, 64 * block + 64));
  });
});

describe("security 30: ChaCha20 in WASM", () => {
  // A packet's bytes begin at block 1.
  const expressible = vectors.chacha20.filter(({ nonce, counter }) => nonce.startsWith("00000000") && counter >= 1);

  it.each(expressible)("gives RFC 8439 $name", ({ key, nonce, counter, input, output }) => {
    const before = 64 * (counter - 1);
    const plaintext = hexDecode("00".repeat(before) + input);
    expect(hexEncode(seal(hexDecode(key), hexDecode(nonce), plaintext)).slice(2 * before, -32)).toBe(output);
  });

  it("gives the ciphertext of RFC 8439 A.5", () => {
    const { key, nonce, plaintext, sealed } = vectors.aead.find(({ name }) => name === "A.5")!;
    const got = hexEncode(seal(hexDecode(key), hexDecode(nonce), hexDecode(plaintext)));
    expect(got.slice(0, -32)).toBe(sealed.slice(0, -32));
  });

  function seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array): Uint8Array {
    const slot = wasm.tx.lease();
    const view = new DataView(nonce.buffer);
    wasm.memory.bytes.set(plaintext, slot + 16);
    wasm.queueSeal(key, view.getUint32(4, true), view.getUint32(8, true), slot + 16, plaintext.length);
    wasm.runSeal();
    wasm.tx.release(slot);
    return wasm.memory.bytes.slice(slot + 16, slot + 32 + plaintext.length);
  }
});

describe("security 30: the AEAD in JavaScript", () => {
  it.each(vectors.aead)("seals and opens RFC 8439 $name", ({ key, nonce, ad, plaintext, sealed }) => {
    const [k, n, a] = [hexDecode(key), hexDecode(nonce), hexDecode(ad)];
    expect(hexEncode(sealChaCha20Poly1305(k, n, hexDecode(plaintext), a))).toBe(sealed);
    expect(hexEncode(openChaCha20Poly1305(k, n, hexDecode(sealed), a)!)).toBe(plaintext);
  });

  it("refuses other additional data, and input too short for a tag", () => {
    const { key, nonce, sealed } = vectors.aead[0]!;
    expect(
      openChaCha20Poly1305(hexDecode(key), hexDecode(nonce), hexDecode(sealed), new Uint8Array(12)),
    ).toBeUndefined();
    expect(
      openChaCha20Poly1305(hexDecode(key), hexDecode(nonce), new Uint8Array(15), new Uint8Array(0)),
    ).toBeUndefined();
  });

  it("leaves the key unchanged, even when it is a Buffer", () => {
    const key = Buffer.alloc(32, 0xff);
    const nonce = new Uint8Array(12);
    openChaCha20Poly1305(key, nonce, sealChaCha20Poly1305(key, nonce, Buffer.alloc(9), nonce), nonce);
    expect(key).toEqual(Buffer.alloc(32, 0xff));
  });
});

const module = instantiateAead(65_536)!;
const memory = new Uint8Array(module.buffer);
const [KEY_AT, TAG_AT, MESSAGE_AT] = [8192, 8256, 8320];

/** The module takes whole blocks only, as a packet's authenticator is always a multiple of 16. */
function wasmPoly1305(stitched: boolean): (key: Uint8Array, message: Uint8Array) => Uint8Array {
  return (key, message) => {
    memory.fill(0xa5);
    memory.set(key, KEY_AT);
    memory.set(message, MESSAGE_AT);
    module.exports.poly1305(KEY_AT, MESSAGE_AT, message.length, TAG_AT, stitched);
    expect(memory[TAG_AT + 16]).toBe(0xa5);
    return memory.slice(TAG_AT, TAG_AT + 16);
  };
}

/** RFC 8439 §2.5.1 with big integers. */
function bigPoly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const prime = (1n << 130n) - 5n;
  const r = number(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let h = 0n;
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16);
    h = ((h + number(block) + (1n << BigInt(8 * block.length))) * r) % prime;
  }
  let tag = h + number(key.subarray(16));
  return Uint8Array.from({ length: 16 }, () => {
    const byte = Number(tag & 255n);
    tag >>= 8n;
    return byte;
  });
}

function number(bytes: Uint8Array): bigint {
  return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

describe.each([
  ["JavaScript", poly1305, 1],
  ["WASM", wasmPoly1305(false), 16],
  ["WASM, between the rounds of ChaCha20", wasmPoly1305(true), 16],
] as const)("Poly1305 in %s", (_name, authenticate, unit) => {
  it.each(vectors.poly1305.filter(({ message }) => message.length % (2 * unit) === 0))(
    "gives RFC 8439 $name",
    ({ key, message, tag }) => {
      expect(hexEncode(authenticate(hexDecode(key), hexDecode(message)))).toBe(tag);
      expect(hexEncode(bigPoly1305(hexDecode(key), hexDecode(message)))).toBe(tag);
    },
  );

  it("agrees with big-integer arithmetic on extreme keys and blocks", () => {
    const words = ["00000000", "ffffffff", "fcffffff", "ffffff0f", "fcffff0f", "00000080", "01000000", "fbffffff"];
    const extreme = (count: number) =>
      fc.array(fc.constantFrom(...words), { minLength: count, maxLength: count }).map((w) => hexDecode(w.join("")));
    fc.assert(
      fc.property(
        extreme(8),
        fc.integer({ min: 0, max: 45 }).chain((blocks) => extreme(4 * blocks)),
        (key, message) => {
          expect(authenticate(key, message)).toEqual(bigPoly1305(key, message));
        },
      ),
      { numRuns: 400 },
    );
  });

  it("agrees with big-integer arithmetic when the sum of products is the prime or within 8 of it", () => {
    // With r = 1 the blocks are only added.
    const r1 = hexDecode(`01${"00".repeat(15)}`);
    for (const s of ["00", "ff"]) {
      const key = Uint8Array.from([...r1, ...hexDecode(s.repeat(16))]);
      for (let delta = -8n; delta <= 8n; delta++) {
        // Every block also adds 2^128: what the three must hold together is 2^128 - 5 + delta.
        const first = (1n << 128n) - 21n;
        const second = 16n + delta;
        const message = new Uint8Array(48);
        for (const [block, value] of [first, second, 0n].entries())
          for (let i = 0; i < 16; i++) message[16 * block + i] = Number((value >> BigInt(8 * i)) & 255n);
        expect(authenticate(key, message)).toEqual(bigPoly1305(key, message));
      }
    }
  });

  it("agrees with big-integer arithmetic on random messages of every length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.uint8Array({ maxLength: 800 }), (key, bytes) => {
        const message = bytes.subarray(0, Math.floor(bytes.length / unit) * unit);
        expect(authenticate(key, message)).toEqual(bigPoly1305(key, message));
      }),
      { numRuns: 300 },
    );
  });
});
