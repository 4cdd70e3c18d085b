/**
 * Bytes through real processes in both directions with slow readers, as in the unit tier, but with the native module's ciphers.
 */

import { expect, it } from "vitest";
import { loadUdpBatch } from "wg-userspace/io/udp/udp-batch";
import "../e2e/bulk-bytes.test.ts";
import "../e2e/bulk-bytes-openssh.test.ts";

it("is what every test in this file runs with", () => {
  expect(process.env["CODER_NO_NATIVE"] ?? "").toBe("");
  expect(loadUdpBatch()?.hasSshCiphers).toBe(true);
});
