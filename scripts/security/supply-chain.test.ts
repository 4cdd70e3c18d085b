import { globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function manifestIn(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

test("security 41: install scripts run for two tools of the build and for nothing else", () => {
  const settings = read("pnpm-workspace.yaml");
  const allowed = [...settings.matchAll(/^ {2}"?([^\s":]+)"?: true$/gm)].map((match) => match[1]);
  expect(allowed.sort()).toEqual(["esbuild", "node"]);
  expect(settings).not.toMatch(/dangerously|strictDepBuilds: false/i);
});

test("security 41: versions are exact, the lockfile is frozen and names a digest of every package", () => {
  const loose = globSync(["package.json", "packages/*/package.json"], { cwd: root }).flatMap((path) => {
    const { dependencies, optionalDependencies, devDependencies } = manifestIn(join(root, dirname(path)));
    return Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies })
      .filter(([, version]) => !/^((npm:[\w@/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?|workspace:\*)$/.test(version))
      .map(([name, version]) => `${path}: ${name} ${version}`);
  });
  expect(loose).toEqual([]);
  const lines = read("pnpm-lock.yaml").split("\n");
  const resolutions = lines.filter((line) => /^\s+resolution:/.test(line));
  expect(resolutions.length).toBeGreaterThan(100);
  expect(resolutions.filter((line) => !/^\s+resolution: \{integrity: sha512-[\w+/=]{88}\}$/.test(line))).toEqual([]);
  const installs = [...read("scripts/launch.mjs").matchAll(/"install"[^\]]*\]/g)].map((match) => match[0]);
  expect(installs).toHaveLength(1);
  expect(installs[0]).toContain('"--frozen-lockfile"');
});
