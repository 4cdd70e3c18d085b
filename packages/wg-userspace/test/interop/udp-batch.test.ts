/** The native module does all that node:dgram and WebAssembly do, and survives input that neither would get. */
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_CIPHER_OPTIONS } from "../../src/aead/cipher-options.ts";
import { createJsCipher } from "../../src/aead/js-cipher.ts";
import { createWasmCipher } from "../../src/aead/wasm-cipher.ts";
import { CIPHER_BATCH, type PacketCipher } from "../../src/base/ports.ts";
import { loadUdpBatch, nativeAead } from "../../src/io/udp/udp-batch.ts";
// The contract of the carriers, here with the native one.
import "../../src/io/driver.test.ts";
import "../../src/io/udp/udp-socket.test.ts";
import { missingTools } from "./namespaces.ts";

const run = promisify(execFile);
const FUZZ_ROUNDS = 40_000;

it("is the carrier of every test in this file", () => {
  expect(loadUdpBatch()).toBeDefined();
  expect(nativeAead()).toBeDefined();
});

describe("its AEAD", () => {
  it("seals and opens whole batches as the plain JavaScript cipher does", () => {
    const fast = createWasmCipher({ ...DEFAULT_CIPHER_OPTIONS, stride: 9216 }, nativeAead())!;
    const slow = createJsCipher({ ...DEFAULT_CIPHER_OPTIONS, stride: 9216 });
    const job = fc.record({
      key: fc.constantFrom(1, 2, 3),
      length: fc.oneof(fc.integer({ min: 768, max: 1500 }), fc.integer({ min: 0, max: 9_000 })),
      low: fc.nat({ max: 0xffff_ffff }),
      high: fc.nat({ max: 0xffff_ffff }),
      broken: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(job, { minLength: 1, maxLength: CIPHER_BATCH }), (jobs) => {
        const seal = (cipher: PacketCipher): Buffer[] => {
          const slots = jobs.map(() => cipher.tx.lease());
          jobs.forEach(({ key, length, low, high }, i) => {
            cipher.memory.bytes.fill(key * 31 + i, slots[i]!, slots[i]! + length);
            cipher.queueSeal(new Uint8Array(32).fill(key), low, high, slots[i]!, length);
          });
          cipher.runSeal();
          const sealed = jobs.map(({ length }, i) =>
            Buffer.from(cipher.memory.bytes.slice(slots[i]!, slots[i]! + length + 16)),
          );
          for (const slot of slots) cipher.tx.release(slot);
          return sealed;
        };
        const sealed = seal(fast);
        expect(sealed).toEqual(seal(slow));
        const slots = jobs.map(() => fast.rx.lease());
        jobs.forEach(({ key, length, low, high, broken }, i) => {
          fast.memory.bytes.set(sealed[i]!, slots[i]!);
          if (broken) fast.memory.bytes[slots[i]! + ((i * 37) % (length + 16))]! ^= 0x10;
          fast.queueOpen(new Uint8Array(32).fill(key), low, high, slots[i]!, length);
        });
        fast.runOpen();
        expect(jobs.map((_, i) => fast.verdict(i))).toEqual(jobs.map(({ broken }) => !broken));
        jobs.forEach(({ key, length, broken }, i) => {
          const text = fast.memory.bytes.subarray(slots[i]!, slots[i]! + length);
          expect(text.every((byte) => byte === (broken ? 0 : (key * 31 + i) & 0xff))).toBe(true);
          fast.rx.release(slots[i]!);
        });
        // No key stays behind.
        expect(fast.memory.bytes.subarray(0, CIPHER_BATCH * 64).every((byte) => byte === 0)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

const missing = missingTools("ip", "unshare");

describe.skipIf(missing.length > 0)(
  `the size of a path${missing.length > 0 ? ` (needs ${missing.join(", ")})` : ""}`,
  () => {
    it.each(["127.0.0.1", "::1"])("is measured by datagrams that are never sent in fragments, %s", async (address) => {
      const script = join(import.meta.dirname, "whole-datagrams.ts");
      const command = `ip link set lo mtu 1500 up && exec "${process.execPath}" "${script}" ${address}`;
      const { stdout } = await run("unshare", ["-n", "sh", "-c", command], { timeout: 60_000 });
      // The datagram with data went in fragments; so would 3000 bytes have gone.
      expect(JSON.parse(stdout)).toEqual([1310, 1452, 2900, 10]);
    });
  },
);

describe("hostile arguments", () => {
  it("end in an error or an answer, never outside the memory (address and undefined-behaviour checks)", async () => {
    const builder = join(import.meta.dirname, "../../../../scripts/build-native.ts");
    const built = await run(process.execPath, [builder, "--asan"], { timeout: 120_000 });
    const folder = join(dirname(built.stdout.trim()), "../../..");
    const library = execFileSync("gcc", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
    const { stdout } = await run(
      process.execPath,
      [join(import.meta.dirname, "udp-batch-fuzz.ts"), join(folder, "index.cjs"), "20261124", String(FUZZ_ROUNDS)],
      {
        env: {
          ...process.env,
          LD_PRELOAD: library,
          ASAN_OPTIONS: "detect_leaks=0:allow_user_segv_handler=1",
          UBSAN_OPTIONS: "print_stacktrace=1",
        },
        timeout: 200_000,
      },
    );
    const counts = JSON.parse(stdout) as Record<string, { returned: number; threw: number }> & { heard: number };
    expect(counts.heard).toBeGreaterThan(100);
    for (const name of ["bind", "seal", "open", "send", "receive", "sendOne"]) {
      expect(counts[name]!.returned, name).toBeGreaterThan(50);
      expect(counts[name]!.threw, name).toBeGreaterThan(50);
    }
    for (const name of ["sshCipher", "sshSeal", "sshLength", "sshStart", "sshContinue", "sshEnd", "sshOpen"]) {
      expect(counts[name]!.returned, name).toBeGreaterThan(20);
      expect(counts[name]!.threw, name).toBeGreaterThan(50);
    }
    expect(counts["detached"]).toEqual({ returned: 0, threw: 1 });
    expect(counts["detached packet"]).toEqual({ returned: 0, threw: 1 });
  });
});

describe("without the native module", () => {
  const ask = async (env: NodeJS.ProcessEnv, requireHook = ""): Promise<string> => {
    const script =
      `import { loadUdpBatch } from ${JSON.stringify(join(import.meta.dirname, "../../src/io/udp/udp-batch.ts"))};` +
      'process.stdout.write(loadUdpBatch() === undefined ? "dgram" : "native");';
    const args = [...(requireHook === "" ? [] : ["--require", requireHook]), "--input-type=module", "-e", script];
    const { stdout, stderr } = await run(process.execPath, args, { env: { ...process.env, ...env } });
    expect(stderr).toBe("");
    return stdout;
  };

  it("CODER_NO_NATIVE=1 switches it off", async () => {
    expect(await ask({ CODER_NO_NATIVE: "" })).toBe("native");
    expect(await ask({ CODER_NO_NATIVE: "1" })).toBe("dgram");
  });

  it("a module that does not load is treated as absent", async () => {
    const folder = mkdtempSync(join(tmpdir(), "udp-batch-"));
    try {
      writeFileSync(join(folder, "broken.node"), "this is no library");
      // Every import of the package gets the broken file.
      const hook = join(folder, "hook.cjs");
      writeFileSync(
        hook,
        'const M = require("node:module"); const resolve = M._resolveFilename;' +
          `M._resolveFilename = function (name, ...rest) { return name === "udp-batch" ? ${JSON.stringify(join(folder, "broken.node"))} : resolve.call(this, name, ...rest); };`,
      );
      expect(await ask({ CODER_NO_NATIVE: "" }, hook)).toBe("dgram");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
