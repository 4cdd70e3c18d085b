import { readSync, writeSync } from "node:fs";
import { expect, it } from "vitest";
import { TerminalDevice } from "./terminal-device.ts";

it.runIf(process.platform === "linux")(
  "tells whether programs have it open, with their last output still unread",
  () => {
    const device = new TerminalDevice();
    try {
      expect(device.isHungUp).toBe(false);
      writeSync(device.program, "last words");
      device.closeProgramSide();
      expect(device.isHungUp).toBe(true);
      const bytes = Buffer.alloc(64);
      expect(bytes.toString("latin1", 0, readSync(device.master, bytes))).toBe("last words");
      expect(() => readSync(device.master, bytes)).toThrow("EIO");
    } finally {
      device.close();
    }
  },
);
