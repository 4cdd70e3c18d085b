/**
 * The executables for every platform, built twice in different places; the release itself checks their formats, signatures and
 * the oldest C library that they run with. Takes minutes and downloads Node for each platform, so it runs only with
 * CODER_TEST_ALL_PLATFORMS=1.
 */
import { execFile, execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { find, without } from "./release.ts";

const repository = join(import.meta.dirname, "../../../..");
const FILES = [
  "coder-linux-amd64",
  "coder-linux-arm64",
  "coder-darwin-arm64",
  "coder-darwin-amd64",
  "coder-windows-amd64.exe",
];
const LIMIT_MS = 1_800_000;

const missing = [
  ...(process.env["CODER_TEST_ALL_PLATFORMS"] === "1" ? [] : ["CODER_TEST_ALL_PLATFORMS=1"]),
  ...(process.platform === "linux" && process.arch === "x64" ? [] : ["Linux on x64"]),
  ...["git", "python3"].filter((name) => find(name) === undefined),
];

describe.skipIf(missing.length > 0)(`executables for every platform${without(missing)}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "coder-platforms-"));
  const first = join(folder, "first");
  const again = join(folder, "again");
  /** A copy has no history to take the date from. */
  const date = () => execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: repository, encoding: "utf8" }).trim();

  /** Rejects if any file is not as it should be. */
  async function release(checkout: string, output: string): Promise<void> {
    const words = [join(checkout, "scripts/release.ts"), "--packages-for", "none", "--output", output];
    const env = { ...process.env, SOURCE_DATE_EPOCH: date() };
    await promisify(execFile)(process.execPath, words, { cwd: checkout, env, maxBuffer: 1 << 26 });
  }

  beforeAll(() => release(repository, first), LIMIT_MS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("are all made, and as their systems need them", () => {
    const sums = readFileSync(join(first, "SHA256SUMS"), "utf8").trim().split("\n");
    expect(sums.map((line) => line.slice(66))).toEqual([...FILES, "sbom.cdx.json"]);
  });

  it(
    "are the same bytes when they are made in another place",
    async () => {
      const checkout = join(folder, "a copy/of the checkout");
      copyCheckout(checkout);
      await release(checkout, again);
      for (const file of [...FILES, "SHA256SUMS", "sbom.cdx.json", "artefacts.md"])
        expect([file, readFileSync(join(again, file)).equals(readFileSync(join(first, file)))]).toEqual([file, true]);
    },
    LIMIT_MS,
  );
});

/** Copies the files of this checkout and the downloads. */
function copyCheckout(to: string): void {
  const words = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
  const names = execFileSync("git", words, { cwd: repository, encoding: "utf8" }).split("\0");
  for (const name of names.filter((name) => name !== "" && existsSync(join(repository, name)))) {
    mkdirSync(dirname(join(to, name)), { recursive: true });
    cpSync(join(repository, name), join(to, name));
  }
  mkdirSync(join(to, ".build"));
  symlinkSync(join(repository, ".build/zig"), join(to, ".build/zig"));
  // Not one link to the whole folder, because bundles name modules by their path from the checkout.
  const folders = [
    "node_modules",
    ...readdirSync(join(repository, "packages")).map((name) => `packages/${name}/node_modules`),
  ];
  for (const name of folders.filter((name) => existsSync(join(repository, name))))
    execFileSync("cp", ["-a", join(repository, name), join(to, name)]);
}
