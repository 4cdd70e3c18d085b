import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const PROGRAM = fileURLToPath(new URL("hostile-peer.ts", import.meta.url));

test("a user who reconnects 8,000 times under other ids, keys and nodes costs no more than one who did 2,000 times", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", PROGRAM], { timeout: 100_000 });
  const result = JSON.parse(stdout) as Record<"keys" | "lostPeers", number> & {
    bytes: { first: number; later: number };
  };
  expect(result).toMatchObject({ peers: 1, tunnels: 0 });
  expect(result.keys).toBeLessThanOrEqual(257);
  expect(result.lostPeers).toBeLessThanOrEqual(1024);
  expect(result.bytes.first).toBeLessThan(16 * 1024 * 1024);
  expect(result.bytes.later).toBeLessThan(1024 * 1024);
}, 120_000);
