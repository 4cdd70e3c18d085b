/** The built command itself: what a start loads, and how it reads the command line. Needs no deployment. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const dist = join(import.meta.dirname, "../../dist");

describe("the built command", () => {
  let home: string;
  beforeAll(() => {
    home = mkdtempSync(join(tmpdir(), "coder-cli-"));
  });
  afterAll(() => rmSync(home, { recursive: true, force: true }));

  function coder(...args: string[]): { code: number | null; stdout: string; stderr: string } {
    const done = spawnSync(process.execPath, [join(dist, "coder.cjs"), ...args], {
      env: { PATH: process.env["PATH"], HOME: home },
      encoding: "utf8",
    });
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  }

  /** Source files in a bundle, found by the comments that the bundler leaves. */
  function sources(bundle: string): string[] {
    return readFileSync(join(dist, bundle), "utf8")
      .split("\n")
      .filter((line) => /^\/\/ .*\.[cm]?[jt]s$/.test(line));
  }

  it.each([
    [
      "coder.cjs",
      ["wg-userspace/src/engine.ts", "ssh2/lib", "@oclif/core", "server/src/server.ts", "agent/src/agent.ts"],
    ],
    ["cli.cjs", ["wg-userspace/src/engine.ts", "ssh2/lib", "server/src/server.ts", "agent/src/agent.ts"]],
    ["start.cjs", ["wg-userspace/src/engine.ts", "ssh2/lib", "@oclif/core", "server/src", "agent/src"]],
    ["output.cjs", ["client/src", "flags/", "@oclif/core", "zod"]],
    ["ssh-stdio.cjs", ["ssh2/lib", "@oclif/core", "server/src/server.ts", "agent/src/agent.ts"]],
    ["network.cjs", ["@oclif/core", "server/src/server.ts", "agent/src/agent.ts"]],
    ["help.cjs", ["wg-userspace/src/engine.ts", "ssh2/lib", "server/src/server.ts", "agent/src/agent.ts"]],
    ["agent.cjs", ["@oclif/core", "server/src/server.ts"]],
    ["server.cjs", ["@oclif/core", "ssh2/lib", "agent/src/agent.ts"]],
    [
      "wsproxy.cjs",
      ["@oclif/core", "ssh2/lib", "agent/src/agent.ts", "server/src/server.ts", "server/src/db", "kysely", "/pg@"],
    ],
  ])("%s holds no unneeded modules", (bundle, unwanted) => {
    const found = sources(bundle);
    expect(found.length).toBeGreaterThan(1);
    for (const name of unwanted) expect(found.filter((source) => source.includes(name))).toEqual([]);
  });

  /** What a start loads of Node, beyond what Node itself has loaded before. */
  function builtins(...args: string[]): readonly string[] {
    const probe = join(home, "probe.cjs");
    const record = join(home, "loaded.json");
    writeFileSync(
      probe,
      `const before = new Set(process.moduleLoadList);
      process.on("exit", () => {
        const loaded = process.moduleLoadList.filter((name) => !before.has(name));
        require("node:fs").writeFileSync(${JSON.stringify(record)}, JSON.stringify(loaded));
      });`,
    );
    spawnSync(process.execPath, ["-r", probe, join(dist, "coder.cjs"), ...args], {
      env: { PATH: process.env["PATH"], HOME: home },
      stdio: "ignore",
    });
    const names = JSON.parse(readFileSync(record, "utf8")) as string[];
    return names.flatMap((name) => /^NativeModule (.*)$/.exec(name)?.[1] ?? []);
  }

  it.each([
    [["version"], ["stream", "net", "tty", "internal/abort_controller", "timers/promises"]],
    [["nosuch"], ["net", "tty", "crypto", "http", "fs/promises", "perf_hooks"]],
    [
      ["list", "--help"],
      ["crypto", "http", "fs/promises", "perf_hooks"],
    ],
    [
      ["list", "--url", "http://127.0.0.1:1", "--token", "x"],
      ["tty", "crypto", "tls", "fs/promises", "perf_hooks"],
    ],
  ])("%s loads none of the modules that cost a start of its time", (words, unwanted) => {
    const loaded = builtins(...words);
    expect(unwanted.filter((name) => loaded.includes(name))).toEqual([]);
  });

  it("loads what sends requests for list alone: what is loaded is noticed", () => {
    expect(builtins("list", "--url", "http://127.0.0.1:1", "--token", "x")).toContain("http");
  });

  it("prints its version by every name of that command", () => {
    const done = coder("version");
    expect([done.code, done.stdout]).toEqual([0, expect.stringMatching(/^Coder v[0-9]+\.[0-9]+\.[0-9]+/)]);
    expect(coder("--version")).toEqual(done);
  });

  it("prints the same version in its own start as in the full command line", () => {
    const full = coder("version", "--no-verbose");
    for (const words of [[], ["--output", "text"], ["-o=text"]]) expect(coder("version", ...words)).toEqual(full);
    const json = coder("version", "--no-verbose", "--output", "json");
    expect(JSON.parse(json.stdout)).toMatchObject({ version: expect.stringMatching(/^v/) });
    for (const words of [["--output", "json"], ["--output=json"], ["-o", "json"]])
      expect(coder("version", ...words)).toEqual(json);
    expect(coder("version", "--output", "xml")).toMatchObject({ code: 2, stdout: "" });
  });

  it.each([
    ["frobnicate", "frobnicate", []],
    ["frobnicate --help", "frobnicate", []],
    ["help frobnicate", "frobnicate", []],
    ["-v frobnicate", "frobnicate", []],
    ["lsit", "lsit", ["coder list"]],
    ["tokens crate", "tokens crate", ["coder tokens create"]],
    ["tunel dev", "tunel", ["coder tunnel"]],
  ])("knows no %j", (line, name, meant) => {
    const done = coder(...line.split(" "));
    expect([done.code, done.stdout]).toEqual([2, ""]);
    const [first, ...next] = done.stderr.trimEnd().split("\n");
    expect(first).toBe(`There is no command "${name}"   (ERR_USAGE)`);
    const topic = name.startsWith("tokens ") ? "tokens " : "";
    expect(next).toEqual([...meant, `coder ${topic}--help`].map((command) => `  Try: ${command}`));
  });

  it.each([
    ["--nosuch ssh dev -- x", "Unknown flag --nosuch"],
    ["--nosuch", "Unknown flag --nosuch"],
    ["-q list", "Unknown flag -q"],
    ["--verbos list", "Unknown flag --verbos; did you mean --verbose?"],
    ["list --serach x", "Unknown flag --serach; did you mean --search?"],
    ["ssh --forward-agnet dev", "Unknown flag --forward-agnet; did you mean --forward-agent?"],
    ["--url", "--url needs a value"],
  ])("runs nothing after a flag that it does not know: %s", (line, message) => {
    const done = coder(...line.split(" "));
    expect([done.code, done.stdout, done.stderr]).toEqual([2, "", `${message}   (ERR_USAGE)\n`]);
  });

  it.each([
    ["--use-keyring"],
    ["--use-keyring=false"],
    ["--use-keyring=true --no-feature-warning --no-version-warning"],
    ["--force-tty --no-open --debug-http"],
    ["--disable-direct-connections --disable-network-telemetry -v"],
    ["--header a=b --header-command true --token x --url http://127.0.0.1:9"],
  ])("takes every global flag of a stock client before and behind the command: %s", (flags) => {
    for (const args of [
      [...flags.split(" "), "version"],
      ["version", ...flags.split(" ")],
    ])
      expect(coder(...args)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Coder v/), stderr: "" });
  });

  it("shows how to name a workspace when it is given like an ssh host", () => {
    for (const command of ["ssh", "ping", "show"])
      expect(coder(command, "root@dev", "--url", "http://127.0.0.1:9")).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^"root@dev" names a user, .*write dev, or root\/dev/),
      });
  });

  it("server and agent report errors from their own bundles, in the same form", () => {
    const agent = coder("agent");
    expect([agent.code, agent.stderr]).toEqual([2, expect.stringContaining("(ERR_USAGE)\n  Try: set CODER_AGENT_URL")]);
    const server = coder("server", "--http-address", "nonsense", "--cache-dir", join(home, "server"));
    expect(server.code).toBe(1);
    expect(server.stderr).not.toMatch(/ERR_BUG|\n\s+at /);
  });
});
