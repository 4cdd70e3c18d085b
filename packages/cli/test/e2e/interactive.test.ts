/** `coder ssh` on a real terminal: shells, escapes, silence, the end of the workspace, resuming. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { TerminalModes } from "coder-agent/os/termios";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

describe("coder ssh on a terminal", () => {
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

  const start = (...args: string[]): PtyCommand => startWith({}, ...args);

  function startWith(modes: TerminalModes, ...args: string[]): PtyCommand {
    const command = new PtyCommand(args, deployment.environment(), { rows: 33, cols: 101 }, modes);
    open.push(command);
    return command;
  }
  const kept = (): string[] => {
    try {
      return readdirSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "resume"));
    } catch {
      return []; // nothing was ever kept
    }
  };

  it("is a shell of the window's size that follows it, and passes its exit code", async () => {
    const shell = start("ssh", "demo");
    shell.type("stty size; echo term=$TERM\r");
    await shell.sees(/33 101[\s\S]*term=xterm-256color/);
    shell.resize(40, 120);
    // The new size is on its way by itself, beside the keys.
    shell.type('until [ "$(stty size)" = "40 120" ]; do sleep 0.1; done; echo resized=$((6*7))\r');
    await shell.sees(/resized=42/);
    shell.type("exit 7\r");
    expect(await shell.ended()).toBe(7);
  });

  it("gives the program a terminal with the modes of the one here", async () => {
    const modes = { VERASE: 8, VINTR: 5, VQUIT: 255, IXON: 0, IXANY: 1, ECHOCTL: 0, IUTF8: 1, TTY_OP_OSPEED: 9600 };
    const command = startWith(modes, "ssh", "-t", "demo", "--", "stty -a");
    expect(await command.ended()).toBe(0);
    expect(command.screen).toMatch(/speed 9600 baud; rows 33; columns 101/);
    expect(command.screen).toMatch(/intr = \^E; quit = <undef>; erase = \^H;/);
    const words = command.screen.split(/[\s;]+/);
    for (const word of ["-ixon", "ixany", "-echoctl", "iutf8", "echo", "icanon", "onlcr"])
      expect(words).toContain(word);
  });

  it("gives a command a terminal with -t only, and a shell none with -T", async () => {
    const plain = start("ssh", "demo", "--", "test -t 1; echo tty=$?");
    await plain.sees(/tty=1/);
    const wanted = start("ssh", "-t", "demo", "--", "test -t 1; echo tty=$?");
    await wanted.sees(/tty=0/);
    const none = start("ssh", "-T", "demo");
    none.type("test -t 0; echo tty=$?\n");
    await none.sees(/tty=1/);
    const both = start("ssh", "-t", "-T", "demo");
    await both.sees(/-t and -T exclude each other/);
    expect(await both.ended()).toBe(2);
  });

  it("knows the escapes at the start of a line", async () => {
    const shell = start("ssh", "demo");
    await shell.sees(/[$#] $/);
    shell.type("\r~#");
    await shell.sees(/owner\/demo: /);
    shell.type("\r~?");
    await shell.sees(/Supported escape sequences/);
    shell.type("\recho a~.b\r");
    await shell.sees(/\ra~\.b\r\r?\n/);
    shell.type("~.");
    expect(await shell.ended()).toBe(255);
    expect(shell.screen).toContain("closed by ~.");
  });

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
    expect(second.screen).toContain("it goes on for 72 h: coder ssh --resume demo");
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
