import { createCipheriv, randomBytes } from "node:crypto";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { hexEncode } from "../base/bytes.ts";
import { CIPHER_BATCH, type PacketCipher } from "../base/ports.ts";
import { base64Decode } from "./base64.ts";
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

  it("gives -1 for a thirty-third job, and works again after a run", () => {
    const slots = Array.from({ length: CIPHER_BATCH }, () => cipher.rx.lease());
    const key = randomBytes(32);
    for (const [i, slot] of slots.entries()) expect(cipher.queueSeal(key, i, 0, slot + 16, 64)).toBe(i);
    expect(cipher.queueSeal(key, 32, 0, slots[0]! + 16, 64)).toBe(-1);
    cipher.runSeal();
    expect(cipher.queueSeal(key, 33, 0, slots[0]! + 16, 64)).toBe(0);
    cipher.runSeal();
    for (const slot of slots) cipher.rx.release(slot);
  });

  it("wipes the packet of a wrong tag, and touches no neighbour in the batch or around it", () => {
    const slots = Array.from({ length: 5 }, () => cipher.rx.lease());
    const { bytes } = cipher.memory;
    const { stride } = cipher.rx;
    const key = randomBytes(32);
    // One bit in the first block, between calls of the cipher, in the partial block, and in each word of the tag.
    const length = 1391;
    const plaintext = randomBytes(length);
    for (const at of [0, 191, 192, 255, 256, 447, 1023, 1024, 1376, 1390, 1391, 1395, 1399, 1403, 1406]) {
      const snapshot = bytes.slice();
      for (const [i, slot] of slots.entries()) {
        bytes.fill(0xa5, slot, slot + stride);
        bytes.set(nodeSeal(key, i, 9, plaintext), slot + 16);
        cipher.queueOpen(key, i, 9, slot + 16, length);
      }
      const bad = slots[2]! + 16;
      bytes[bad + at] = bytes[bad + at]! ^ 0x10;
      cipher.runOpen();
      for (const [i, slot] of slots.entries()) {
        const expected = Buffer.alloc(stride, 0xa5);
        if (i === 2) expected.fill(0, 16, 32 + length);
        else expected.set(plaintext, 16);
        // The tag of an opened packet may stay or change: it is not read again.
        const got = Buffer.from(bytes.slice(slot, slot + stride));
        if (i !== 2) got.fill(0xa5, 16 + length, 32 + length);
        expect(cipher.verdict(i)).toBe(i !== 2);
        if (!got.equals(expected)) expect.fail(`bit in byte ${at}: slot ${i} is wrong`);
        snapshot.set(bytes.subarray(slot, slot + stride), slot);
      }
      const slotsAt = Math.min(...slots) - (Math.min(...slots) % stride);
      if (Buffer.compare(bytes.subarray(slotsAt), snapshot.subarray(slotsAt)) !== 0)
        expect.fail(`bit in byte ${at}: something outside of the slots changed`);
    }
    expect(cipher.verdict(5)).toBe(false);
    expect(cipher.verdict(-1)).toBe(false);
    for (const slot of slots) cipher.rx.release(slot);
  });

  it("refuses a key, counter or tag of another packet", () => {
    const [key, other] = [randomBytes(32), randomBytes(32)];
    const sealed = nodeSeal(key, 7, 1, randomBytes(80));
    expect(open(cipher, other, 7, 1, sealed)).toBeUndefined();
    expect(open(cipher, key, 8, 1, sealed)).toBeUndefined();
    expect(open(cipher, key, 7, 0, sealed)).toBeUndefined();
    sealed.set(nodeSeal(key, 7, 1, randomBytes(80)).subarray(80), 80);
    expect(open(cipher, key, 7, 1, sealed)).toBeUndefined();
  });

  it("throws at jobs that only a bug can produce", () => {
    const slot = cipher.tx.lease();
    const key = randomBytes(32);
    const most = cipher.tx.stride - 32;
    expect(() => cipher.queueSeal(randomBytes(31), 0, 0, slot + 16, 16)).toThrow("a key has 32 bytes, not 31");
    expect(() => cipher.queueSeal(key, 0, 0, slot + 16, most + 1)).toThrow("not within one slot");
    expect(() => cipher.queueSeal(key, 0, 0, cipher.memory.bytes.length, 0)).toThrow("not within one slot");
    expect(() => cipher.queueSeal(key, 0, 0, -16, 16)).toThrow("not within one slot");
    expect(() => cipher.queueSeal(key, 0, 0, slot + 16, -1)).toThrow("not within one slot");
    expect(cipher.queueSeal(key, 0, 0, slot + 16, most)).toBe(0);
    expect(() => cipher.queueOpen(key, 0, 0, slot + 16, 16)).toThrow("either sealing or opening");
    expect(() => cipher.runOpen()).toThrow("either sealing or opening");
    cipher.runSeal();
    cipher.tx.release(slot);
  });

  it("does nothing for an empty batch", () => {
    cipher.runSeal();
    cipher.runOpen();
    expect(cipher.verdict(0)).toBe(false);
  });
});

it("WASM, JavaScript, node:crypto and @noble/ciphers agree on random batches", () => {
  const job = fc.record({
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    low: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0xffff_fffc, max: 0xffff_ffff }), fc.nat()),
    high: fc.oneof(fc.constantFrom(0, 1, 0xffff_ffff), fc.nat()),
    length: fc.oneof(fc.nat(1488), fc.constantFrom(0, 192, 193, 256, 448, 1280, 1424)),
    fill: fc.nat(255),
    flip: fc.option(fc.nat(), { freq: 5 }),
  });
  fc.assert(
    fc.property(fc.array(job, { minLength: 1, maxLength: CIPHER_BATCH }), (jobs) => {
      const slots = jobs.map(() => ({ wasm: wasm.tx.lease(), slow: slow.tx.lease() }));
      const sealed = jobs.map(({ key, low, high, length, fill }, i) => {
        const plaintext = Buffer.alloc(length, fill);
        for (const [name, cipher] of [["wasm", wasm] as const, ["slow", slow] as const]) {
          cipher.memory.bytes.set(plaintext, slots[i]![name] + 16);
          cipher.queueSeal(key, low, high, slots[i]![name] + 16, length);
        }
        return nodeSeal(key, low, high, plaintext);
      });
      wasm.runSeal();
      slow.runSeal();
      for (const [i, { key, low, high, length, fill, flip }] of jobs.entries()) {
        const nonce = Buffer.alloc(12);
        nonce.writeUInt32LE(low, 4);
        nonce.writeUInt32LE(high, 8);
        expect(Buffer.from(chacha20poly1305(key, nonce).encrypt(Buffer.alloc(length, fill)))).toEqual(sealed[i]);
        for (const [name, cipher] of [["wasm", wasm] as const, ["slow", slow] as const]) {
          const at = slots[i]![name] + 16;
          expect(Buffer.from(cipher.memory.bytes.slice(at, at + length + 16))).toEqual(sealed[i]);
          if (flip !== null) {
            const byte = at + (flip % (length + 16));
            cipher.memory.bytes[byte] = cipher.memory.bytes[byte]! ^ 1;
          }
          cipher.queueOpen(key, low, high, at, length);
        }
      }
      wasm.runOpen();
      slow.runOpen();
      for (const [i, { length, fill, flip }] of jobs.entries()) {
        for (const [name, cipher] of [["wasm", wasm] as const, ["slow", slow] as const]) {
          const at = slots[i]![name] + 16;
          expect(cipher.verdict(i)).toBe(flip === null);
          const opened = Buffer.from(cipher.memory.bytes.slice(at, at + length));
          expect(opened).toEqual(Buffer.alloc(length, flip === null ? fill : 0));
          cipher.tx.release(slots[i]![name]);
        }
      }
    }),
    { numRuns: 60 },
  );
});

describe("the WASM module", () => {
  it("is used on this machine, in a memory that cannot grow", () => {
    expect(createPacketCipher().constructor.name).toBe("WasmCipher");
    expect(wasm.memory.bytes.buffer.byteLength).toBe(Math.ceil((8192 + 512 * 1536) / 65_536) * 65_536);
  });

  it("accepts jumbo slots", () => {
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
    for (const wrong of ["a*==", "abc", "ab=c", "é123"]) expect(() => base64Decode(wrong)).toThrow("not base64");
  });

  it("is not used where there is no WebAssembly, and the JavaScript cipher takes its place", async () => {
    vi.resetModules();
    vi.stubGlobal("WebAssembly", undefined);
    try {
      const fresh = await import("./cipher.ts");
      const cipher = fresh.createPacketCipher({ txSlots: 32, rxSlots: 32 });
      expect(cipher.constructor.name).toBe("Object");
      const [key, plaintext] = [randomBytes(32), randomBytes(100)];
      expect(seal(cipher, key, 5, 6, plaintext)).toEqual(nodeSeal(key, 5, 6, plaintext));
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it.each([
    [{ stride: 1500 }, "stride 1500"],
    [{ txSlots: 0 }, "slots of a cipher are positive integers"],
    [{ rxSlots: 1.5 }, "slots of a cipher are positive integers"],
    [{ stride: 9216, txSlots: 8000 }, "are more than"],
  ])("refuses the sizes %o", (options, message) => {
    expect(() => createPacketCipher(options)).toThrow(message);
    expect(() => createJsCipher(options)).toThrow(message);
  });
});
