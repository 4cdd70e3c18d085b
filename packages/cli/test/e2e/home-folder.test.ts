/** The command framework reads and runs nothing from a user's folder. */
import { execFile } from "node:child_process";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GLOBAL_FLAGS } from "../../src/flags/global.ts";
import { allCommandTexts } from "../../src/registry.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const oclif = join(import.meta.dirname, "../../node_modules/@oclif/core/lib");

describe("a plugin that was put into a folder of the user", () => {
  let home: string;
  let proof: string;

  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "coder-home-"));
    proof = join(home, "ran");
    for (const folder of [".local/share/coder", ".config/coder", ".config/coderv2", ".cache/coder", "work"])
      plant(join(home, folder));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  function plant(folder: string): void {
    const plugin = join(folder, "node_modules/evil");
    mkdirSync(join(plugin, "commands"), { recursive: true });
    const run = `require("node:fs").writeFileSync(${JSON.stringify(proof)}, "");`;
    writeFileSync(join(plugin, "hook.js"), `${run} module.exports = async () => {};`);
    writeFileSync(join(plugin, "index.js"), run);
    writeFileSync(join(plugin, "commands/list.js"), run);
    const hooks = { init: "./hook.js", preparse: "./hook.js", prerun: "./hook.js", command_not_found: "./hook.js" };
    const manifest = { name: "evil", version: "1.0.0", main: "index.js", oclif: { hooks, commands: "./commands" } };
    writeFileSync(join(plugin, "package.json"), JSON.stringify(manifest));
    const plugins = [{ name: "evil", type: "user" }];
    const root = { name: "coder", private: true, dependencies: { evil: "1.0.0" }, oclif: { schema: 1, plugins } };
    writeFileSync(join(folder, "package.json"), JSON.stringify(root));
    writeFileSync(join(folder, "theme.json"), "{ this is not JSON");
  }

  it("is run by the framework alone: the trap works", async () => {
    const root = join(home, "root");
    mkdirSync(root);
    const manifest = {
      name: "coder",
      version: "1.0.0",
      oclif: { bin: "coder", dirname: "coder", commands: "./commands" },
    };
    writeFileSync(join(root, "package.json"), JSON.stringify(manifest));
    const program = `
      const { Config } = require(${JSON.stringify(join(oclif, "index.js"))});
      Config.load(${JSON.stringify({ root })}).then((config) => config.runHook("init", { id: "list", argv: [] }));`;
    await promisify(execFile)(process.execPath, ["-e", program], { env: { PATH: process.env["PATH"], HOME: home } });
    expect(existsSync(proof)).toBe(true);
  });

  it.each([["list"], ["list --help"], ["--help"], ["nosuch"], ["tokens"], ["version -v"]])(
    "is not run by coder %s",
    async (line) => {
      const env = { PATH: process.env["PATH"], HOME: home, CODER_CONFIG_DIR: join(home, ".config/coder") };
      const done = await promisify(execFile)(process.execPath, [coder, ...line.split(" ")], {
        env,
        cwd: join(home, "work"),
      }).catch((error: { stdout: string; stderr: string }) => error);
      expect(`${done.stdout}${done.stderr}`).not.toMatch(/evil|theme\.json|Unexpected token/i);
      expect(existsSync(proof)).toBe(false);
    },
  );
});

describe("variables of the framework", () => {
  it("are none of ours, but for the folder where the login is stored", async () => {
    const sources = globSync("**/*.js", { cwd: oclif }).map((file) => readFileSync(join(oclif, file), "utf8"));
    const read = sources.flatMap((source) => [...source.matchAll(/scopedEnvVar(?:True|Key)?\(['"](\w+)['"]\)/g)]);
    const names = new Set(read.map(([, name]) => `CODER_${name}`));
    expect(names.size).toBeGreaterThan(5);
    const ours = new Set([
      ...Object.values(GLOBAL_FLAGS).flatMap(({ env }) => env ?? []),
      ...Object.values(await allCommandTexts()).flatMap(({ flags }) => flags.flatMap(({ env }) => env ?? [])),
    ]);
    expect([...names].filter((name) => ours.has(name))).toEqual(["CODER_CONFIG_DIR"]);
  });
});
