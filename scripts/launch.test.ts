/** The start of every npm script on a Node that is too old for everything else. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { transform } from "esbuild";
import { expect, it } from "vitest";

const text = readFileSync(join(import.meta.dirname, "launch.cjs"), "utf8");

/** What the launcher does on this version; `started` is the file that it continues with. */
function launched(node: string): { said: string; code: number | undefined; started: string | undefined } {
  const seen: { said: string; code: number | undefined; started: string | undefined } = {
    said: "",
    code: undefined,
    started: undefined,
  };
  const process = {
    versions: { node },
    stderr: { write: (line: string) => (seen.said += line) },
    exit: (code: number) => (seen.code = code),
  };
  const modules = { url: { pathToFileURL: (path: string) => `file://${path}` }, path: { join } };
  const require = (name: keyof typeof modules): unknown => modules[name];
  function imports() {
    return (file: string) => (seen.started = file);
  }
  runInNewContext(text, { process, require, Function: imports, Number, __dirname: "/project/scripts" });
  return seen;
}

it.each(["0.10.48", "6.17.1", "10.24.1", "12.22.12", "18.20.8"])("Node %s is refused as too old", (node) => {
  expect(launched(node)).toEqual({
    said: `This project needs Node.js 20 or newer, and this is Node.js ${node}: install a newer one.\n`,
    code: 1,
    started: undefined,
  });
});

it.each(["20.0.0", "22.13.0", "26.10.0", "100.0.0"])("Node %s continues", (node) => {
  expect(launched(node)).toEqual({ said: "", code: undefined, started: "file:///project/scripts/launch.mjs" });
});

it("every script starts with the launcher, in syntax of the year 2009", async () => {
  const { scripts } = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8")) as {
    scripts: Record<string, string>;
  };
  const others = Object.entries(scripts).filter(([name, line]) => line !== `node scripts/launch.cjs ${name}`);
  expect(others.map(([name]) => name)).toEqual(["format"]);
  const plain = await transform(text, { target: "es2022" });
  const old = await transform(text, { target: "es5" });
  expect(old.code).toBe(plain.code);
});
