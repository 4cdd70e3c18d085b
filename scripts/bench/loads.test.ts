import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

it("every case of the bench loads, and one that does not exist is refused with the names of all", () => {
  const bench = join(import.meta.dirname, "../bench.ts");
  const { status, stderr } = spawnSync(process.execPath, [bench, "no-such-case"], { encoding: "utf8" });
  expect(stderr).toContain("usage: bench");
  expect(stderr).not.toContain("SyntaxError");
  expect(status).toBe(2);
});
