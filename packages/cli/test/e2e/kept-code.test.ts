/** The compiled code that the built command keeps for its next start. Needs no deployment. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const LIST = ["list", "--url", "http://127.0.0.1:1", "--token", "x"];

describe("compiled code", () => {
  let home: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), "coder-kept-"));
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env["PATH"], HOME: home });
  const run = (words: readonly string[]) => {
    const done = spawnSync(process.execPath, [coder, ...words], { env: environment(), encoding: "utf8" });
    return { code: done.status, stdout: done.stdout, stderr: done.stderr };
  };
  const place = (): string => join(home, ".cache/coder/compiled");
  const kept = (): string[] => readdirSync(place()).map((name) => name.replace(/^[^.]*\.[^-]*-[^-]*-/, ""));

  it("is kept for this user alone, for each command and once for all mistakes, and not for the version", () => {
    run(["version"]);
    expect(() => kept()).toThrow("ENOENT");
    for (const words of [["nosuch"], ["lsit"], LIST, ["list", "--help"], ["ssh", "--help"]]) run(words);
    expect(kept().sort()).toEqual(["cli.cjs-", "cli.cjs-help", "cli.cjs-list", "help.cjs-help"]);
    for (const name of readdirSync(place())) expect(statSync(join(place(), name)).mode & 0o777).toBe(0o600);
  });

  it("has more in it than what is compiled before a bundle runs", () => {
    const fileOf = (end: string): string => join(place(), readdirSync(place()).find((name) => name.endsWith(end))!);
    run(["nosuch"]);
    // On a machine so slow that it takes seconds, the first start keeps what has run by then.
    const wasKeptAtEnd = (): boolean => /^\{.*"failed".*\n/.test(readFileSync(fileOf("cli.cjs-list"), "latin1"));
    run(LIST);
    for (let more = 20; more > 0 && !wasKeptAtEnd(); more--) run(LIST);
    expect(statSync(fileOf("cli.cjs-list")).size).toBeGreaterThan(1.3 * statSync(fileOf("cli.cjs-")).size);
  });

  it("does not depend on the order of starts", () => {
    for (const words of [[], ["--verbose"], ["list", "--wrong"]]) run(words);
    expect(kept().sort()).toEqual(["cli.cjs-help", "cli.cjs-list", "help.cjs-help"]);
  });

  it("is no hindrance where it cannot be read", () => {
    const first = run(["nosuch"]);
    expect(first).toMatchObject({ code: 2, stderr: expect.stringContaining("ERR_USAGE") });
    const file = join(place(), readdirSync(place())[0]!);
    rmSync(file);
    mkdirSync(file);
    expect(run(["nosuch"])).toEqual(first);
  });

  it("changes nothing that is printed, also when it is damaged", () => {
    const first = run(LIST);
    expect(first).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_CONNECTION_REFUSED") });
    expect(run(LIST)).toEqual(first);
    const file = join(place(), readdirSync(place())[0]!);
    const whole = readFileSync(file);
    for (const damaged of [Buffer.from(whole).fill(0, 8192), whole.subarray(0, 100_000), Buffer.from("{}\nx")]) {
      writeFileSync(file, damaged);
      expect(run(LIST)).toEqual(first);
      expect(statSync(file).size).toBeGreaterThan(200_000);
    }
  });

  it("is kept as well when a signal ends the command, as OpenSSH does", async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await once(silent, "listening");
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const child = spawn(process.execPath, [coder, "ssh", "--stdio", "demo", "--url", url, "--token", "x"], {
      env: environment(),
      stdio: ["pipe", "ignore", "ignore"],
    });
    try {
      const [socket] = (await once(silent, "connection")) as [{ destroy(): void }];
      child.kill("SIGHUP");
      expect(await once(child, "exit")).toEqual([null, "SIGHUP"]);
      socket.destroy();
    } finally {
      child.kill("SIGKILL");
      silent.close();
    }
    expect(kept()).toEqual(["ssh-stdio.cjs-ssh"]);
  });
});
