import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { expect, test } from "vitest";
import { TerminalDevice, terminalModes } from "./terminal-device.ts";
import { applyModes, attributeLayout, modesOf } from "./termios.ts";

const PLATFORMS = [
  ["linux", "x64"],
  ["darwin", "arm64"],
] as const;

test.each(PLATFORMS)("modes of a %s record are those that were applied", (platform, architecture) => {
  const layout = attributeLayout(platform, architecture)!;
  const characters = fc.dictionary(
    fc.constantFrom(...Object.keys(layout.characters)),
    fc.integer({ min: 1, max: 254 }),
  );
  const flags = Object.values(layout.flags).flatMap((word) => Object.keys(word));
  const names = flags.filter((name) => !name.startsWith("CS"));
  const bits = fc.dictionary(fc.constantFrom(...names), fc.integer({ min: 0, max: 1 }));
  fc.assert(
    fc.property(characters, bits, fc.constantFrom(0, 300, 9600, 38400, 115200), (chars, set, speed) => {
      const record = new Uint8Array(layout.bytes).fill(0xa5);
      const modes = { ...chars, ...set, CS8: 1, TTY_OP_ISPEED: 9600, TTY_OP_OSPEED: speed };
      applyModes(record, modes, layout);
      const read = modesOf(record, layout);
      expect(read).toMatchObject({ ...modes, CS7: 1 });
      const again = record.slice();
      applyModes(again, read, layout);
      expect(again).toEqual(record);
    }),
  );
});

test.each(PLATFORMS)("a character that is switched off is 255 in SSH, in a %s record", (platform, architecture) => {
  const layout = attributeLayout(platform, architecture)!;
  const record = new Uint8Array(layout.bytes);
  applyModes(record, { VINTR: 255, VQUIT: 28 }, layout);
  expect(record[layout.charactersAt + layout.characters["VINTR"]!]).toBe(layout.disabled);
  expect(modesOf(record, layout)).toMatchObject({ VINTR: 255, VQUIT: 28 });
});

test("unknown mode names and odd values change nothing else", () => {
  const layout = attributeLayout("linux", "x64")!;
  const record = new Uint8Array(layout.bytes);
  applyModes(record, { nonsense: 1, VDSUSP: 3, TTY_OP_OSPEED: 12345, ECHO: 0xffff_ffff }, layout);
  expect(modesOf(record, layout)).toMatchObject({ ECHO: 1, TTY_OP_OSPEED: 0 });
});

test.runIf(process.platform === "linux" || process.platform === "darwin")("stty shows the modes that were set", () => {
  const device = new TerminalDevice();
  try {
    device.setModes({ ECHO: 0, VINTR: 5, ONLCR: 0, IXON: 0, IUTF8: 1, TTY_OP_ISPEED: 9600, TTY_OP_OSPEED: 9600 });
    const seen = execFileSync("stty", ["-a"], { stdio: [device.program, "pipe", "inherit"], encoding: "utf8" });
    expect(seen).toMatch(/speed 9600 baud/);
    expect(seen).toMatch(/intr = \^E/);
    for (const word of ["-echo", "-onlcr", "-ixon", "iutf8"]) expect(seen.split(/[\s;]+/)).toContain(word);
    expect(terminalModes(device.program)).toMatchObject({ ECHO: 0, VINTR: 5, ISIG: 1, CS8: 1, TTY_OP_OSPEED: 9600 });
  } finally {
    device.close();
  }
});
