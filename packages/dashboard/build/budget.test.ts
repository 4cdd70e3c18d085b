/** What the pages may weigh, and that equal sources make equal files. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { buildDashboard } from "./build.ts";

const folder = mkdtempSync(join(tmpdir(), "dashboard-"));
const first = join(folder, "first");
let packages: string[];

beforeAll(async () => {
  packages = await buildDashboard(first);
});
afterAll(() => rmSync(folder, { recursive: true }));

const kB = 1000;

/** Bytes by brotli of these files. */
function weight(paths: readonly string[]): number {
  return paths.reduce((sum, path) => {
    const plain = join(first, path);
    const compressed = readdirSync(join(plain, "..")).includes(`${path.split("/").at(-1)}.br`);
    return sum + statSync(compressed ? `${plain}.br` : plain).size;
  }, 0);
}

function assets(pattern: RegExp): string[] {
  return readdirSync(join(first, "assets"))
    .filter((name) => pattern.test(name))
    .map((name) => `assets/${name}`);
}

it("the first page is light", () => {
  const html = readFileSync(join(first, "index.html"), "utf8");
  const named = [...html.matchAll(/(?:src|href)="\/(assets\/[^"]+)"/g)].map((match) => match[1]!);
  const routes = JSON.parse(readFileSync(join(first, "routes.json"), "utf8")) as {
    pattern: string;
    preload: string[];
  }[];
  const list = routes.find(({ pattern }) => new RegExp(pattern).test("/workspaces"))!;
  const scripts = [...named.filter((path) => path.endsWith(".js")), ...list.preload.map((path) => path.slice(1))];
  // Further requests are those for the page itself, the script of the stream's worker, and the stream: six in all.
  expect([named.length, list.preload]).toEqual([3, []]);
  expect(weight(scripts)).toBeLessThan(45 * kB);
  expect(weight(named.filter((path) => path.endsWith(".css")))).toBeLessThan(10 * kB);
  expect(html.length).toBeLessThan(4 * kB);
});

it("so is every part that is loaded later", () => {
  const limits: readonly (readonly [RegExp, number])[] = [
    [/^terminal-[^.]+\.js$/, 100 * kB],
    [/^addon-webgl-[^.]+\.js$/, 32 * kB],
    [/latin-wght-normal-[^.]+\.woff2$/, 41 * kB],
  ];
  for (const [pattern, limit] of limits) {
    const paths = assets(pattern);
    expect([pattern, paths.length]).toEqual([pattern, 1]);
    expect(weight(paths)).toBeLessThan(limit);
  }
  const others = assets(/\.js$/).filter((path) => !/\/(?:index|jsxRuntime|terminal|addon-webgl)-/.test(path));
  expect(others.length).toBeGreaterThan(10);
  for (const path of others) expect([path, weight([path]) < 25 * kB]).toEqual([path, true]);
});

it("the worker with the tunnel is loaded by end-to-end terminals alone, and light", () => {
  const [worker, ...others] = assets(/^worker$/).flatMap((folderName) =>
    readdirSync(join(first, folderName))
      .filter((name) => /^worker-.*\.js$/.test(name))
      .map((name) => `${folderName}/${name}`),
  );
  expect(others).toEqual([]);
  expect(weight([worker!])).toBeLessThan(108 * kB);
  const { preload } = (
    JSON.parse(readFileSync(join(first, "routes.json"), "utf8")) as { pattern: string; preload: string[] }[]
  ).find(({ pattern }) => new RegExp(pattern).test("/@owner/demo/terminal"))!;
  expect(preload.filter((path) => path.includes("/worker/"))).toEqual([]);
});

it("equal sources make equal files", async () => {
  const second = join(folder, "second");
  await buildDashboard(second);
  expect(contentsOf(second)).toEqual(contentsOf(first));
});

it("everything that is in it comes from packages that are known", () => {
  expect(packages).toContain("@xterm/xterm");
  expect(packages).toContain("preact");
  expect(packages.length).toBeLessThanOrEqual(12);
});

function contentsOf(place: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(place, { recursive: true, encoding: "utf8" })
      .sort()
      .filter((name) => statSync(join(place, name)).isFile())
      .map((name) => [
        name,
        createHash("sha256")
          .update(readFileSync(join(place, name)))
          .digest("hex"),
      ]),
  );
}
