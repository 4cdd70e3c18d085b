/** How commands end when their output cannot be written: closed readers, full disks. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");

describe("the end of a command", () => {
  let deployment: TestDeployment;
  const programs: ChildProcess[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("dev"));
    const ready = await deployment.run(["ssh", "dev", "--", "echo ready"]);
    expect(ready.stdout).toBe("ready\n");
  }, 60_000);
  afterAll(async () => {
    for (const program of programs) program.kill("SIGKILL");
    await deployment.close();
  });

  /** Runs a line of bash in which `coder` is the built command. Returns its output and the exit codes of the pipeline's parts. */
  function shell(line: string): { stdout: string; stderr: string; codes: number[] } {
    const script = `coder() { "${process.execPath}" "${coder}" "$@"; }\n${line}\necho "codes: \${PIPESTATUS[*]}" >&2`;
    const done = spawnSync("bash", ["-c", script], {
      env: deployment.environment(),
      encoding: "utf8",
      timeout: 25_000,
      killSignal: "SIGKILL",
    });
    const codes = /codes: ([0-9 ]+)\n$/.exec(done.stderr)?.[1]?.split(" ").map(Number) ?? [];
    return { stdout: done.stdout, stderr: done.stderr.replace(/codes: .*\n$/, ""), codes };
  }

  function start(args: readonly string[], stdio: "pipe" | "ignore" = "pipe"): ChildProcess {
    const child = spawn(process.execPath, [coder, ...args], {
      env: deployment.environment(),
      stdio: ["ignore", stdio, "pipe"],
    });
    programs.push(child);
    return child;
  }

  /** Waits for the end of the process that a remote command recorded in this file. */
  async function remoteProcessEnds(file: string): Promise<void> {
    const pid = Number(readFileSync(file, "utf8"));
    await expect
      .poll(() => isAlive(pid), { timeout: 20_000, interval: 50, message: "the remote program is still there" })
      .toBe(false);
  }

  it("of ssh comes with that of its reader, and the remote program's with it", async () => {
    const few = shell(`coder ssh dev -- 'seq 1 200000' | head -1`);
    expect(few).toEqual({ stdout: "1\n", stderr: "", codes: [141, 0] });
    const file = join(deployment.folder, "endless");
    const endless = shell(`coder ssh dev -- 'echo $$ > ${file}; exec cat /dev/zero' | head -c 10 | wc -c`);
    expect([endless.stdout.trim(), endless.stderr, endless.codes]).toEqual(["10", "", [141, 0, 0]]);
    await remoteProcessEnds(file);
  }, 60_000);

  it("of ssh comes with that of the reader of its errors", async () => {
    const file = join(deployment.folder, "complaining");
    const remote = `echo $$ > ${file}; while echo x >&2; do sleep 0.05; done`;
    const done = shell(`coder ssh dev -- '${remote}' 2>&1 >/dev/null | head -1`);
    expect([done.stdout, done.codes]).toEqual(["x\n", [141, 0]]);
    await remoteProcessEnds(file);
  }, 60_000);

  it("does not wait for a reader that does not read", async () => {
    const child = start(["ssh", "dev", "--", "cat /dev/zero"]);
    await once(child.stdout!, "readable");
    child.kill("SIGTERM");
    expect(await once(child, "exit")).toEqual([null, "SIGTERM"]);
  }, 60_000);

  it.each([
    ["list", ["list"]],
    ["a listing as JSON", ["list", "--output", "json"]],
    ["help", ["--help"]],
    ["help of a command", ["ssh", "--help"]],
    ["version", ["version"]],
    ["ssh", ["ssh", "dev", "--", "echo x"]],
    ["the options", ["ssh", "--debug-options", "dev"]],
  ])(
    "says that the disk is full: %s",
    (_, args) => {
      const done = shell(`coder ${args.map((word) => `'${word}'`).join(" ")} > /dev/full`);
      expect(done.codes).toEqual([1]);
      expect(done.stderr).toBe("Cannot write to standard output: no space is left on the device   (ERR_OUTPUT)\n");
    },
    60_000,
  );

  it("is not caused by errors that cannot be written", () => {
    expect(shell("coder list 2> /dev/full").codes).toEqual([0]);
    expect(shell("coder list --nosuch 2> /dev/full").codes).toEqual([2]);
  }, 60_000);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
