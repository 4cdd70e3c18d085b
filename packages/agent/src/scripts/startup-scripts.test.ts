import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, describe, expect, it } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { makeScriptDirectories, scriptVariables } from "./script-directories.ts";
import { ScriptLogs } from "./script-logs.ts";
import { type ScriptTiming, StartupScripts, type WorkspaceScript } from "./startup-scripts.ts";

const SOURCE = "11111111-1111-1111-1111-111111111111";
const folder = mkdtempSync(join(tmpdir(), "scripts-"));
const user = () => ({ name: "me", shell: "/bin/sh", home: folder, uid: 0 });
afterAll(() => rmSync(folder, { recursive: true }));

function script(text: string, more: Partial<WorkspaceScript> = {}): WorkspaceScript {
  return {
    id: "33333333-3333-3333-3333-333333333333",
    logSourceId: SOURCE,
    displayName: "Test",
    script: text,
    logPath: "",
    cron: "",
    runOnStart: true,
    runOnStop: false,
    timeoutMs: 0,
    ...more,
  };
}

class Setup {
  readonly logs = new ScriptLogs();
  readonly timings: ScriptTiming[] = [];
  readonly logged: string[] = [];
  readonly scripts = new StartupScripts({
    user,
    environment: () => ({ CODER: "true", NAME: "demo" }),
    logDirectory: join(folder, "logs"),
    logs: this.logs,
    logger: {
      level: "info",
      log: (level, message, fields) => void this.logged.push(`${level} ${message} ${JSON.stringify(fields)}`),
    },
    now: () => Date.now(),
    onCompleted: (timing) => void this.timings.push(timing),
    limits: { killGraceMs: 200, pipesGraceMs: 200 },
  });

  lines(): string[] {
    return this.logs.next()?.lines.map(({ level, output }) => `${level} ${output}`) ?? [];
  }
}

describe("scripts of a stage", () => {
  it.runIf(process.platform === "linux")("are not held up by a log file that is a named pipe", async () => {
    const setup = new Setup();
    const logPath = join(folder, "pipe");
    execFileSync("mkfifo", [logPath]);
    expect(await setup.scripts.run("start", [script("echo done", { logPath })])).toBe("ok");
    expect(setup.lines()).toEqual(["info done"]);
    expect(setup.logged.join()).toContain("a script's log file cannot be written");
  });

  it("run in the home directory with the workspace's variables; their output is kept twice", async () => {
    const setup = new Setup();
    expect(await setup.scripts.run("start", [script('echo "$CODER $NAME $HOME"; pwd; echo oops >&2')])).toBe("ok");
    expect(setup.lines().toSorted()).toEqual(["error oops", `info ${folder}`, `info true demo ${folder}`]);
    const file = join(folder, "logs", `coder-script-${SOURCE}.log`);
    expect(readFileSync(file, "utf8")).toContain(`true demo ${folder}\n`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(setup.timings).toMatchObject([{ stage: "start", exitCode: 0, status: "ok" }]);
    expect(setup.timings[0]!.endedAtMs).toBeGreaterThanOrEqual(setup.timings[0]!.startedAtMs);
  });

  it("do not see what belongs to connections or to the agent alone", async () => {
    const setup = new Setup();
    process.env["CODER_AGENT_TOKEN"] = "of the agent";
    await setup.scripts.run("start", [script("env | grep -E '^(SSH_|CODER_AGENT_TOKEN|NODE_OPTIONS)' || echo none")]);
    delete process.env["CODER_AGENT_TOKEN"];
    expect(setup.lines()).toEqual(["info none"]);
  });

  it("run in parallel", async () => {
    const setup = new Setup();
    const flag = join(folder, "flag");
    const outcome = await setup.scripts.run("start", [
      script(`until [ -e ${flag} ]; do sleep 0.02; done`, { logPath: "a.log" }),
      script(`touch ${flag}`, { logPath: "b.log" }),
    ]);
    expect(outcome).toBe("ok");
  });

  it("run only in their stage; those on a schedule are named in the log", async () => {
    const setup = new Setup();
    const all = [
      script("echo start"),
      script("echo stop", { runOnStart: false, runOnStop: true }),
      script("echo cron", { runOnStart: false, cron: "* * * * *", displayName: "Backup" }),
    ];
    expect(await setup.scripts.run("stop", all)).toBe("ok");
    expect(setup.lines()).toEqual(["info stop"]);
    await setup.scripts.run("start", all);
    expect(setup.lines()).toEqual(["info stop", "info start"]);
    expect(setup.logged.join("\n")).toMatch(/does not run scripts on a schedule.*Backup/);
  });

  it("fail as a stage when one fails, whatever the others do", async () => {
    const setup = new Setup();
    const outcome = await setup.scripts.run("start", [
      script("exit 3", { logPath: "a.log" }),
      script("sleep 30", { timeoutMs: 100, logPath: "b.log" }),
      script("true", { logPath: "c.log" }),
    ]);
    expect(outcome).toBe("failed");
    expect(setup.lines()).toContain("error The start script failed with exit code 3.");
    expect(setup.timings.map(({ status }) => status).toSorted()).toEqual(["failed", "ok", "timed out"]);
  });

  it("are ended at their limit together with their children, and killed if they ignore the signal", async () => {
    const setup = new Setup();
    const pids = join(folder, "pids");
    const stubborn = script(`trap '' TERM; sleep 30 & echo $! >> ${pids}; echo $$ >> ${pids}; wait; sleep 30`, {
      timeoutMs: 300,
    });
    expect(await setup.scripts.run("start", [stubborn])).toBe("timed out");
    for (const pid of readFileSync(pids, "utf8").trim().split("\n")) expect(await gone(Number(pid))).toBe(true);
    expect(setup.timings).toMatchObject([{ status: "timed out", exitCode: 255 }]);
  });

  it("may leave programs behind, which are reported and left running", async () => {
    const setup = new Setup();
    const outcome = await setup.scripts.run("start", [script("sleep 30 & echo $!")]);
    expect(outcome).toBe("ok");
    expect(setup.timings).toMatchObject([{ status: "pipes left open", exitCode: 0 }]);
    const [first, second] = setup.lines();
    expect(second).toContain("still holds its output");
    const left = Number(first!.split(" ")[1]);
    process.kill(left, 0);
    process.kill(left, "SIGKILL");
  });

  it("that are running when the workspace stops are ended, without a failure", async () => {
    const setup = new Setup();
    const flag = join(folder, "running");
    const running = setup.scripts.run("start", [script(`touch ${flag}; sleep 30`)]);
    while (!existsSync(flag)) await sleep(10);
    await setup.scripts.stop();
    expect(await running).toBe("stopped");
    expect(setup.lines()).toEqual(["warn The script was ended because the workspace is stopping."]);
  });

  it("that are stopped while their process is being created are ended too", async () => {
    const setup = new Setup();
    const running = setup.scripts.run("start", [script("sleep 30")]);
    await setup.scripts.stop();
    expect(await running).toBe("stopped");
  });

  it("that cannot be started fail with the reason; empty ones do nothing", async () => {
    const setup = new Setup();
    expect(await setup.scripts.run("start", [script("#!/nonexistent/interpreter\nx")])).toBe("failed");
    expect(setup.lines().join()).toMatch(/could not be started: .*ENOENT/);
    expect(setup.timings).toMatchObject([{ exitCode: 229, status: "failed" }]);
    expect(await setup.scripts.run("start", [script("  \n")])).toBe("ok");
  });

  it("run without a log file when there can be none, and never write through a link", async () => {
    const setup = new Setup();
    const target = join(folder, "target");
    mkdirSync(join(folder, "logs"), { recursive: true });
    symlinkSync(target, join(folder, "logs", "link.log"));
    expect(await setup.scripts.run("start", [script("echo hi", { logPath: "link.log" })])).toBe("ok");
    expect(existsSync(target)).toBe(false);
    expect(setup.logged.join("\n")).toContain("log file cannot be written");
    expect(setup.lines()).toEqual(["info hi"]);
  });

  it("may name their log file by the home directory or a variable", async () => {
    const setup = new Setup();
    await setup.scripts.run("start", [script("echo x", { logPath: "~/mine.log" })]);
    await setup.scripts.run("start", [script("echo y", { logPath: "$HOME/yours-$NAME.log" })]);
    expect(readFileSync(join(folder, "mine.log"), "utf8")).toBe("x\n");
    expect(readFileSync(join(folder, "yours-demo.log"), "utf8")).toBe("y\n");
  });
});

describe("directories of scripts", () => {
  it("are the owner's alone and come first in the path", () => {
    const made = makeScriptDirectories(folder, "id", silentLogger)!;
    expect(statSync(made.bin).mode & 0o777).toBe(0o700);
    expect(makeScriptDirectories(folder, "id", silentLogger)).toEqual(made);
    expect(scriptVariables(made, { A: "1" }, { PATH: "/bin" })).toEqual({
      A: "1",
      CODER_SCRIPT_BIN_DIR: made.bin,
      CODER_SCRIPT_DATA_DIR: made.data,
      PATH: `${made.bin}:/bin`,
    });
  });

  it("are not used when others could put programs there", () => {
    const made = makeScriptDirectories(folder, "open", silentLogger)!;
    chmodSync(made.bin, 0o777);
    expect(makeScriptDirectories(folder, "open", silentLogger)).toBeUndefined();
    symlinkSync(made.data, join(folder, "coder-script-data-link"));
    expect(makeScriptDirectories(folder, "link", silentLogger)).toBeUndefined();
    expect(scriptVariables(undefined, { A: "1" })).toEqual({ A: "1" });
  });
});

async function gone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    try {
      process.kill(pid, 0);
      // A zombie counts as gone: it waits for the process that inherited it.
      if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return true;
    } catch {
      return true;
    }
    await sleep(20);
  }
  return false;
}
