/** `coder ssh` on a real terminal: shells, modes, escapes. */
import type { TerminalModes } from "coder-agent/os/termios";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

describe("coder ssh on a terminal", () => {
  let deployment: TestDeployment;
  const open: PtyCommand[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"), { SHELL: "/bin/sh" });
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

  it("is a shell of the window's size that follows it, and passes its exit code", async () => {
    const shell = start("ssh", "demo");
    shell.type("stty size; echo term=$TERM\r");
    await shell.sees(/33 101[\s\S]*term=xterm-256color/);
    shell.resize(40, 120);
    // The new size is sent separately from the keys.
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
});
