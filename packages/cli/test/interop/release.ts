/** The output of `npm run release` for Linux, built once per test run, by the first file that needs it. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const repository = join(import.meta.dirname, "../../../..");
const folder = join(repository, ".build/release-of-tests");
const foreignLibraries = "/usr/aarch64-linux-gnu";
export const EMULATOR = ["/usr/bin/qemu-aarch64-static", "-L", foreignLibraries] as const;

/** Tools that are missing for trying the executable for arm64. */
export const foreignMissing = [
  ...(existsSync(EMULATOR[0]) ? [] : ["qemu-user-static"]),
  ...(existsSync(join(foreignLibraries, "lib/libstdc++.so.6")) ? [] : ["libstdc++6-arm64-cross"]),
  ...(existsSync(join(foreignLibraries, "lib/ld-linux-aarch64.so.1")) ? [] : ["libc6-arm64-cross"]),
];
/** Tools that are missing for building packages. */
export const packagersMissing = ["dpkg-deb", "rpmbuild"].filter((name) => find(name) === undefined);

/** @returns The folder of the release. */
export async function builtRelease(): Promise<string> {
  const stamp = join(folder, "run-of-tests");
  const run = process.env["CODER_TEST_RUN"] ?? "";
  if (existsSync(stamp) && run !== "" && readFileSync(stamp, "utf8") === run) return folder;
  const platforms = ["linux-x64", ...(foreignMissing.length > 0 ? [] : ["linux-arm64"])];
  const words = platforms.flatMap((name) => ["--platform", name]);
  const packages = ["--packages-for", packagersMissing.length > 0 ? "none" : "linux-x64"];
  const script = join(repository, "scripts/release.ts");
  await promisify(execFile)(process.execPath, [script, "--output", folder, ...words, ...packages], {
    cwd: repository,
    maxBuffer: 1 << 26,
  });
  writeFileSync(stamp, run);
  return folder;
}

export function find(program: string): string | undefined {
  const places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map((place) => join(place, program));
  return places.find((place) => existsSync(place));
}

export function without(names: readonly string[]): string {
  return names.length === 0 ? "" : `: skipped without ${names.join(", ")}`;
}
