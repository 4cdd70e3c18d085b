/** Every published package with a minimum Node version in `engines` can be imported by that version. */
import { execFile } from "node:child_process";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

const root = join(import.meta.dirname, "../../../..");
const floor = join(root, "node_modules/node-floor/bin/node");
const LIBRARIES = ["protocol", "wg-userspace", "client", "agent", "server"];
/** Modules that act when they are imported. */
const PROGRAMS = /\/(main|cli)\.ts$/;

const run = (...args: readonly string[]) =>
  promisify(execFile)(floor, [...args], {
    env: { PATH: process.env["PATH"], CODER_CONFIG_DIR: join(root, "no-such-folder") },
    maxBuffer: 16 * 1024 * 1024,
  });

/** `22.13` of `>=22.13`. */
function floorOf(name: string): string | undefined {
  const { engines } = JSON.parse(readFileSync(join(root, "packages", name, "package.json"), "utf8")) as {
    engines?: { node?: string };
  };
  return engines?.node?.replace(/^>=/, "");
}

describe("the oldest supported Node", () => {
  it("is the one under test", async () => {
    const { stdout } = await run("--version");
    for (const name of [...LIBRARIES, "cli", "udp-batch"]) expect(stdout).toContain(`v${floorOf(name)}.`);
  });

  it.each(LIBRARIES)("imports every module of %s", async (name) => {
    const modules = globSync(`packages/${name}/src/**/*.ts`, { cwd: root }).filter(
      (path) => !/\.(test|d)\.ts$/.test(path) && !PROGRAMS.test(path),
    );
    expect(modules.length).toBeGreaterThan(3);
    // One after the other, so that a failure belongs to the module that is named.
    const script = `
      const failures = [];
      for (const url of ${JSON.stringify(modules.map((path) => pathToFileURL(join(root, path)).href))})
        await import(url).catch((error) => failures.push(url + ": " + error.message));
      process.stdout.write(JSON.stringify(failures));
      process.exit(0);`;
    const { stdout } = await run("--no-warnings", "--experimental-strip-types", "--input-type=module", "-e", script);
    expect(JSON.parse(stdout)).toEqual([]);
  });
});
