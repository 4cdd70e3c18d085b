/**
 * `node packages/wg-userspace/bench/aead.ts [--json] [--rounds N]`: what one packet costs in the cipher and in the checksum.
 * Contestants take turns in every round, so that noise of the machine meets all of them: read the ratios.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { checksum } from "../src/aead/checksum.ts";
import { createJsCipher } from "../src/aead/js-cipher.ts";
import { createWasmCipher } from "../src/aead/wasm-cipher.ts";
import { CIPHER_BATCH, type PacketCipher } from "../src/base/ports.ts";

const SIZES = [1280, 1420];
const HEADER_BYTES = 16;
const TAG_BYTES = 16;
/** Packets per turn. */
const PACKETS = 32 * CIPHER_BATCH;
const WARM_UP_TURNS = 10;

/** Handles PACKETS packets, and returns the milliseconds that count. */
type Turn = () => number;

const { values } = parseArgs({
  options: { json: { type: "boolean", default: false }, rounds: { type: "string", default: "31" } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new RangeError(`--rounds ${values.rounds} is not a positive number`);

const wasm = createWasmCipher();
if (wasm === undefined) throw new Error("this runtime has no WASM SIMD");
const twin = createJsCipher();
const report: Record<string, Record<string, number>> = {};
for (const size of SIZES) {
  const contestants: Record<string, Turn> = {
    "wasm, batches of 32: seal": sealing(wasm, size, CIPHER_BATCH),
    "wasm, batches of 32: open": opening(wasm, size, CIPHER_BATCH),
    "wasm, one by one: seal": sealing(wasm, size, 1),
    "wasm, one by one: open": opening(wasm, size, 1),
    "node:crypto: seal": opensslSealing(size),
    "node:crypto: open": opensslOpening(size),
    "javascript: seal": sealing(twin, size, CIPHER_BATCH),
    "javascript: open": opening(twin, size, CIPHER_BATCH),
    "checksum, wasm": summing(wasm, wasm.memory.bytes, size),
    "checksum, javascript": summing({ checksum }, randomBytes(size + 64), size),
  };
  const taken = new Map(Object.keys(contestants).map((name) => [name, [] as number[]]));
  for (let round = -WARM_UP_TURNS; round < rounds; round++)
    for (const [name, turn] of Object.entries(contestants)) {
      const ms = turn();
      if (round >= 0) taken.get(name)!.push((ms * 1000) / PACKETS);
    }
  const microseconds = Object.fromEntries([...taken].map(([name, all]) => [name, median(all)]));
  report[`${size} B, µs per packet`] = microseconds;
  // Of the turns of one round each, then the median.
  const ratio = (slow: string, fast: string) => median(taken.get(slow)!.map((us, i) => us / taken.get(fast)![i]!));
  report[`${size} B, ratios`] = {
    "node:crypto / wasm, batches of 32: seal": ratio("node:crypto: seal", "wasm, batches of 32: seal"),
    "node:crypto / wasm, batches of 32: open": ratio("node:crypto: open", "wasm, batches of 32: open"),
    "node:crypto / wasm, one by one: seal": ratio("node:crypto: seal", "wasm, one by one: seal"),
    "node:crypto / wasm, one by one: open": ratio("node:crypto: open", "wasm, one by one: open"),
    "checksum: javascript / wasm": ratio("checksum, javascript", "checksum, wasm"),
  };
}
if (values.json) process.stdout.write(`${JSON.stringify({ node: process.version, rounds, ...report })}\n`);
else
  for (const [title, figures] of Object.entries(report)) {
    process.stdout.write(`${title}\n`);
    for (const [name, value] of Object.entries(figures))
      process.stdout.write(`  ${name.padEnd(42)} ${value.toFixed(3)}\n`);
  }

function sealing(cipher: PacketCipher, size: number, batch: number): Turn {
  const key = randomBytes(32);
  const slots = leased(cipher, batch);
  let counter = 0;
  return () => {
    const started = performance.now();
    for (let done = 0; done < PACKETS; done += batch) {
      for (const slot of slots) cipher.queueSeal(key, counter++, 0, slot + HEADER_BYTES, size);
      cipher.runSeal();
    }
    return performance.now() - started;
  };
}

/** What is opened is put back before every run, outside of the measured time. */
function opening(cipher: PacketCipher, size: number, batch: number): Turn {
  const key = new Uint8Array(randomBytes(32));
  const slots = leased(cipher, batch);
  const { bytes } = cipher.memory;
  const first = slots[0]! + HEADER_BYTES;
  cipher.queueSeal(key, 7, 0, first, size);
  cipher.runSeal();
  const sealed = bytes.slice(first, first + size + TAG_BYTES);
  return () => {
    let ms = 0;
    for (let done = 0; done < PACKETS; done += batch) {
      for (const slot of slots) bytes.set(sealed, slot + HEADER_BYTES);
      const started = performance.now();
      for (const slot of slots) cipher.queueOpen(key, 7, 0, slot + HEADER_BYTES, size);
      cipher.runOpen();
      ms += performance.now() - started;
      for (let i = 0; i < batch; i++) if (!cipher.verdict(i)) throw new Error("a packet of the bench did not open");
    }
    return ms;
  };
}

function opensslSealing(size: number): Turn {
  const [key, plain, nonce] = [randomBytes(32), randomBytes(size), Buffer.alloc(12)];
  let counter = 0;
  return () => {
    const started = performance.now();
    for (let done = 0; done < PACKETS; done++) {
      nonce.writeUInt32LE(counter++, 4);
      const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: TAG_BYTES });
      cipher.update(plain);
      cipher.final();
      cipher.getAuthTag();
    }
    return performance.now() - started;
  };
}

function opensslOpening(size: number): Turn {
  const [key, nonce] = [randomBytes(32), Buffer.alloc(12)];
  const options = { authTagLength: TAG_BYTES };
  const cipher = createCipheriv("chacha20-poly1305", key, nonce, options);
  const sealed = Buffer.concat([cipher.update(randomBytes(size)), cipher.final()]);
  const tag = cipher.getAuthTag();
  return () => {
    const started = performance.now();
    for (let done = 0; done < PACKETS; done++) {
      const decipher = createDecipheriv("chacha20-poly1305", key, nonce, options);
      decipher.setAuthTag(tag);
      decipher.update(sealed);
      decipher.final();
    }
    return performance.now() - started;
  };
}

function summing(from: Pick<PacketCipher, "checksum">, bytes: Uint8Array, size: number): Turn {
  const at = bytes.length - size - 20;
  let sum = 0;
  return () => {
    const started = performance.now();
    for (let done = 0; done < PACKETS; done++) sum = from.checksum(bytes, at, size, sum);
    return performance.now() - started;
  };
}

function leased(cipher: PacketCipher, count: number): number[] {
  return Array.from({ length: count }, () => {
    const slot = cipher.tx.lease();
    if (slot < 0) throw new Error("the bench needs more slots");
    return slot;
  });
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
