import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { PacketCapture } from "./packet-capture.ts";

const folder = mkdtempSync(join(tmpdir(), "packet-capture-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("packets are written with their time as a capture of raw IP", async () => {
  const path = join(folder, "a.pcap");
  const capture = await PacketCapture.create(path, () => 1_700_000_000_123.456);
  capture.add(Uint8Array.of(9, 9, 0x60, 1, 2, 9), 2, 3);
  expect(await capture.close()).toBeUndefined();
  const expected = [
    ..."d4c3b2a1 0200 0400 00000000 00000000 ffff0000 65000000".split(" "), // file header
    ..."00f15365 40e20100 03000000 03000000 600102".split(" "),
  ];
  expect(readFileSync(path).toString("hex")).toBe(expected.join(""));
});

test("more than one batch arrives whole and in order", async () => {
  const path = join(folder, "b.pcap");
  const capture = await PacketCapture.create(path);
  const packet = new Uint8Array(1280);
  for (let i = 0; i < 1000; i++) {
    packet[0] = i & 0xff;
    capture.add(packet, 0, packet.length);
  }
  expect(await capture.close()).toBeUndefined();
  const file = readFileSync(path);
  expect(file.length).toBe(24 + 1000 * (16 + 1280));
  for (let i = 0; i < 1000; i++) expect(file[24 + i * (16 + 1280) + 16]).toBe(i & 0xff);
});

test("a file that cannot be created is reported before anything starts", async () => {
  await expect(PacketCapture.create(join(folder, "missing", "c.pcap"))).rejects.toMatchObject({
    code: "ERR_CAPTURE_FILE",
    why: expect.stringContaining("ENOENT"),
  });
});

test.runIf(process.platform === "linux")("a full disk ends the capture with a warning and throws nothing", async () => {
  const capture = await PacketCapture.create("/dev/full");
  const packet = new Uint8Array(1280);
  for (let i = 0; i < 2000; i++) {
    capture.add(packet, 0, packet.length);
    if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  expect(await capture.close()).toMatch(/"\/dev\/full" is incomplete, writing it failed: ENOSPC/);
});
