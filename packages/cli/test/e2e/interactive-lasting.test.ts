/** Lasting `coder ssh` sessions on a real terminal: resuming, silence, the end of the workspace. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

describe("a lasting terminal of coder ssh", () => {
  let deployment: TestDeployment;
  let token: string;
  let agent: ChildProcess;
  const open: PtyCommand[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    token = await deployment.createWorkspace("demo");
    agent = deployment.startAgent(token, { SHELL: "/bin/sh" });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterEach(() => {
    for (const command of open.splice(0)) command.kill("SIGKILL");
  });

  afterAll(async () => {
    await deployment?.close();
  });

  function start(...args: string[]): PtyCommand {
    const command = new PtyCommand(args, deployment.environment(), { rows: 33, cols: 101 });
    open.push(command);
    return command;
  }
  const kept = (): string[] => {
    try {
      return readdirSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "resume"));
    } catch {
      return []; // no shell was ever kept
    }
  };

  it("--resume reattaches to the shell of a lost command", async () => {
    const first = start("ssh", "--resume", "demo");
    first.type("MARK=kept-$((40+2)); echo pid=$$.\r");
    const pid = (await first.sees(/pid=(\d+)\./))[1];
    first.kill("SIGKILL");
    await first.ended();
    const second = start("ssh", "--resume", "demo");
    await second.sees(/Back in the shell that was left .* ago/);
    second.type("echo again=$$. $MARK\r");
    await second.sees(new RegExp(`again=${pid}\\. kept-42`));

    const other = start("ssh", "--resume", "demo");
    other.type("echo other=$$.\r");
    expect((await other.sees(/other=(\d+)\./))[1]).not.toBe(pid);
    other.type("exit\r");
    expect(await other.ended()).toBe(0);

    second.type("\r~.");
    expect(await second.ended()).toBe(255);
    expect(second.screen).toContain("it keeps running for 72 h: coder ssh --resume demo");
    const third = start("ssh", "--resume", "demo");
    third.type("echo third=$$.; exit\r");
    expect((await third.sees(/third=(\d+)\./))[1]).toBe(pid);
    expect(await third.ended()).toBe(0);
    expect(kept()).toEqual([]);
  });

  it("--resume reports what it cannot do", async () => {
    const done = await deployment.run(["ssh", "--resume", "demo"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("--resume needs a terminal")]);
    const forwarding = start("ssh", "--resume", "-A", "demo");
    await forwarding.sees(/--resume and -A exclude each other/);
    expect(await forwarding.ended()).toBe(2);
  });

  it("reports that the workspace is silent, and its return", async () => {
    const shell = start("ssh", "demo");
    await shell.sees(/[$#] $/);
    agent.kill("SIGSTOP");
    try {
      await shell.sees(/No answer from the workspace for \d+ s - still trying/);
    } finally {
      agent.kill("SIGCONT");
    }
    shell.type("echo back=$((6*7))\r");
    await shell.sees(/back=42/);
    shell.screen = "";
    shell.type("exit\r");
    expect(await shell.ended()).toBe(0);
  });

  it("ends when the workspace is stopped, and reports it", async () => {
    const other = await deployment.createWorkspace("other");
    deployment.startAgent(other, { SHELL: "/bin/sh" });
    const shell = start("ssh", "other");
    shell.type("echo ready=$((6*7))\r");
    await shell.sees(/ready=42/);
    const proxy = deployment.spawn(["ssh", "--stdio", "other"], {});
    let heard = "";
    proxy.stderr!.on("data", (chunk) => {
      heard += String(chunk);
    });
    await once(proxy.stdout!, "data");
    const { id } = (await (await deployment.api("GET", "/api/v2/users/me/workspace/other")).json()) as { id: string };
    const build = await deployment.api("POST", `/api/v2/workspaces/${id}/builds`, { transition: "stop" });
    expect(build.status).toBe(201);
    expect(await shell.ended()).toBe(255);
    expect(shell.screen).toMatch(/Workspace "other" was stopped[\s\S]*coder start other/);
    if (proxy.exitCode === null) await once(proxy, "close");
    expect([proxy.exitCode, heard]).toEqual([255, expect.stringContaining('Workspace "other" was stopped')]);
  });
});
