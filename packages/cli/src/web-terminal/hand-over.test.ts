import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { handOver } from "./hand-over.ts";

const ADDRESS = "http://127.0.0.1:4711/#aB3-_x";
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hand-over-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

it.each(["linux", "win32"] as const)("on %s the opener gets the address", (platform) => {
  expect(handOver(ADDRESS, folder, platform).opens).toBe(ADDRESS);
});

it("where arguments are visible and connections have no user, it gets a private file, which goes again", () => {
  const { opens, remove } = handOver(ADDRESS, join(folder, "config"), "darwin");
  expect(opens).not.toContain("aB3");
  expect(statSync(opens).mode & 0o777).toBe(0o600);
  expect(readFileSync(opens, "utf8")).toContain(`url=${ADDRESS}"`);
  remove();
  expect(existsSync(opens)).toBe(false);
});
