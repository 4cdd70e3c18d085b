import { createCipheriv, randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hexDecode, hexEncode } from "../base/bytes.ts";
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { base64Decode } from "./base64.ts";
import { checksum } from "./checksum.ts";
import { createPacketCipher } from "./cipher.ts";
import { DEFAULT_CIPHER_OPTIONS } from "./cipher-options.ts";
import { createJsCipher } from "./js-cipher.ts";
import { createWasmCipher } from "./wasm-cipher.ts";

const wasm = createWasmCipher(DEFAULT_CIPHER_OPTIONS)!;
const slow = createJsCipher(DEFAULT_CIPHER_OPTIONS);
const both: [string, PacketCipher][] = [
  ["WASM", wasm],
  ["JavaScript", slow],
];

function nodeSeal(key: Uint8Array, low: number, high: number, plaintext: Uint8Array): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(low, 4);
  nonce.writeUInt32LE(high, 8);
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

/** Seals one packet with everything around it set to 0xa5, and checks that nothing else was written. */
function seal(cipher: PacketCipher, key: Uint8Array, low: number, high: number, plaintext: Uint8Array): Buffer {
  const slot = cipher.tx.lease();
  const { bytes } = cipher.memory;
  bytes.fill(0xa5, slot, slot + cipher.tx.stride);
  bytes.set(plaintext, slot + 16);
  cipher.queueSeal(key, low, high, slot + 16, plaintext.length);
  cipher.runSeal();
  const sealed = Buffer.from(bytes.slice(slot + 16, slot + 32 + plaintext.length));
  expect(bytes.subarray(slot, slot + 16).every((byte) => byte === 0xa5)).toBe(true);
  expect(bytes.subarray(slot + 32 + plaintext.length, slot + cipher.tx.stride).every((byte) => byte === 0xa5)).toBe(
    true,
  );
  cipher.tx.release(slot);
  return sealed;
}

function open(
  cipher: PacketCipher,
  key: Uint8Array,
  low: number,
  high: number,
  sealed: Uint8Array,
): Buffer | undefined {
  const slot = cipher.rx.lease();
  const { bytes } = cipher.memory;
  bytes.fill(0xa5, slot, slot + cipher.rx.stride);
  bytes.set(sealed, slot + 16);
  cipher.queueOpen(key, low, high, slot + 16, sealed.length - 16);
  cipher.runOpen();
  const right = cipher.verdict(0);
  const plaintext = Buffer.from(bytes.slice(slot + 16, slot + sealed.length));
  expect(bytes.subarray(slot, slot + 16).every((byte) => byte === 0xa5)).toBe(true);
  expect(bytes.subarray(slot + 16 + sealed.length, slot + cipher.rx.stride).every((byte) => byte === 0xa5)).toBe(true);
  if (!right) expect(bytes.subarray(slot + 16, slot + 16 + sealed.length).every((byte) => byte === 0)).toBe(true);
  cipher.rx.release(slot);
  return right ? plaintext : undefined;
}

describe.each(both)("PacketCipher in %s", (_name, cipher) => {
  it("seals and opens every length from 0 to 1504 as node:crypto does", () => {
    for (let length = 0; length <= 1504; length++) {
      const key = randomBytes(32);
      const plaintext = randomBytes(length);
      const sealed = nodeSeal(key, length * 0x9e37, length, plaintext);
      if (!seal(cipher, key, length * 0x9e37, length, plaintext).equals(sealed))
        expect.fail(`length ${length} differs`);
      if (open(cipher, key, length * 0x9e37, length, sealed)?.equals(plaintext) !== true)
        expect.fail(`length ${length} does not open`);
    }
  });

  it.each([
    [0, 0],
    [0xffff_ffff, 0],
    [0, 1],
    [0xffff_ffff, 0xffff_ffff],
  ])("uses the whole 64-bit counter: %i, %i", (low, high) => {
    const key = randomBytes(32);
    const plaintext = randomBytes(100);
    expect(seal(cipher, key, low, high, plaintext)).toEqual(nodeSeal(key, low, high, plaintext));
  });

  it("runs batches of every size with mixed lengths, each job with its own key", () => {
    for (let size = 1; size <= CIPHER_BATCH; size++) {
      const jobs = Array.from({ length: size }, (_, i) => ({
        slot: cipher.tx.lease(),
        key: randomBytes(32),
        plaintext: randomBytes((i * 97 + size * 13) % 1400),
      }));
      for (const [i, { slot, key, plaintext }] of jobs.entries()) {
        cipher.memory.bytes.set(plaintext, slot + 16);
        expect(cipher.queueSeal(key, i, size, slot + 16, plaintext.length)).toBe(i);
      }
      if (size === CIPHER_BATCH) expect(cipher.queueSeal(randomBytes(32), 0, 0, 16, 0)).toBe(-1);
      cipher.runSeal();
      for (const [i, { slot, key, plaintext }] of jobs.entries()) {
        const end = slot + 32 + plaintext.length;
        expect(Buffer.from(cipher.memory.bytes.slice(slot + 16, end))).toEqual(nodeSeal(key, i, size, plaintext));
        cipher.queueOpen(key, i, i === 3 ? size + 1 : size, slot + 16, plaintext.length);
      }
      cipher.runOpen();
      for (const [i, { slot, plaintext }] of jobs.entries()) {
        expect(cipher.verdict(i)).toBe(i !== 3);
        const got = Buffer.from(cipher.memory.bytes.slice(slot + 16, slot + 16 + plaintext.length));
        expect(got).toEqual(i === 3 ? Buffer.alloc(plaintext.length) : plaintext);
        cipher.tx.release(slot);
      }
    }
  });

  it("refuses a packet with any one bit flipped and wipes it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1400 }), fc.nat(), (length, position) => {
        const key = randomBytes(32);
        const sealed = nodeSeal(key, 1, 0, randomBytes(length));
        const bit = position % (sealed.length * 8);
        sealed[bit >> 3] = sealed[bit >> 3]! ^ (1 << (bit & 7));
        expect(open(cipher, key, 1, 0, sealed)).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("agrees with node:crypto on ciphertexts of extreme bytes, where Poly1305 carries furthest", () => {
    const extremes = [0x00, 0xff, 0x7f, 0x80, 0xfe, 0x01];
    for (const byte of extremes) {
      for (const keyByte of extremes) {
        const key = new Uint8Array(32).fill(keyByte);
        for (const length of [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 191, 192, 193, 255, 256, 257, 448, 1280, 1420]) {
          // Bytes that make the ciphertext itself extreme.
          const stream = nodeSeal(key, 0, 0, new Uint8Array(length)).subarray(0, length);
          const plaintext = stream.map((value) => value ^ byte);
          expect(seal(cipher, key, 0, 0, plaintext)).toEqual(nodeSeal(key, 0, 0, plaintext));
        }
      }
    }
  });

  it("leaves no key in memory after a run", () => {
    const key = randomBytes(32);
    seal(cipher, key, 0, 0, randomBytes(64));
    open(cipher, key, 0, 0, nodeSeal(key, 0, 0, randomBytes(64)));
    expect(Buffer.from(cipher.memory.bytes).includes(key)).toBe(false);
  });

  it("hands out slots once, keeps the last ones for control, and refuses a double release", () => {
    const leased: number[] = [];
    for (let slot = cipher.tx.lease(); slot >= 0; slot = cipher.tx.lease()) leased.push(slot);
    expect(new Set(leased).size).toBe(leased.length);
    expect(cipher.tx.free).toBe(cipher.tx.capacity - leased.length);
    expect(cipher.tx.free).toBeGreaterThan(0);
    const control = cipher.tx.leaseForControl();
    expect(leased).not.toContain(control);
    for (const slot of [...leased, control]) cipher.tx.release(slot);
    expect(cipher.tx.free).toBe(cipher.tx.capacity);
    expect(() => cipher.tx.release(control)).toThrow("is not leased");
    expect(() => cipher.tx.release(control + 1)).toThrow("is not leased");
  });
});

describe("the checksum", () => {
  function naive(bytes: Uint8Array, offset: number, length: number, initial: number): number {
    let sum = BigInt(initial);
    for (let i = 0; i < length; i++) sum += BigInt(bytes[offset + i]!) << (i % 2 === 0 ? 8n : 0n);
    while (sum > 0xffffn) sum = (sum & 0xffffn) + (sum >> 16n);
    return Number(sum);
  }

  it("is the sum of RFC 1071 §3's example", () => {
    expect(checksum(hexDecode("0001f203f4f5f6f7"), 0, 8, 0)).toBe(0xddf2);
  });

  it("is the same in WASM, JavaScript and a naive loop for every alignment and length", () => {
    const slot = wasm.rx.lease();
    for (const fill of [() => randomBytes(1536), () => Buffer.alloc(1536, 0xff), () => Buffer.alloc(1536)]) {
      wasm.memory.bytes.set(fill(), slot);
      for (let length = 0; length < 1500; length += length < 140 ? 1 : 37) {
        for (let shift = 0; shift < 8; shift++) {
          const initial = (length * 4099 + shift) % 0x1_ffff;
          const expected = naive(wasm.memory.bytes, slot + shift, length, initial);
          expect(checksum(wasm.memory.bytes, slot + shift, length, initial)).toBe(expected);
          expect(wasm.checksum(wasm.memory.bytes, slot + shift, length, initial)).toBe(expected);
        }
      }
    }
    wasm.rx.release(slot);
  });

  it("works on buffers that are not the cipher's", () => {
    expect(wasm.checksum(hexDecode("0001f203f4f5f6f7"), 0, 8, 0)).toBe(0xddf2);
  });
});

describe("the WASM module", () => {
  it("is what this machine gets, in a memory that cannot grow", () => {
    expect(createPacketCipher().constructor.name).toBe("WasmCipher");
    expect(wasm.memory.bytes.buffer.byteLength).toBe(Math.ceil((8192 + 512 * 1536) / 65_536) * 65_536);
  });

  it("takes jumbo slots", () => {
    const jumbo = createPacketCipher({ stride: 9216, txSlots: 32, rxSlots: 32 });
    const key = randomBytes(32);
    const plaintext = randomBytes(8920);
    expect(seal(jumbo, key, 5, 6, plaintext)).toEqual(nodeSeal(key, 5, 6, plaintext));
  });

  it("decodes base64 as Buffer does", () => {
    for (let length = 0; length < 40; length++) {
      const data = randomBytes(length);
      expect(hexEncode(base64Decode(data.toString("base64")))).toBe(data.toString("hex"));
    }
    expect(() => base64Decode("a*==")).toThrow("not base64");
  });
});
