/** `coder ssh` on a terminal of this machine: what it makes of it, and how it leaves it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, read } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { TerminalDevice, terminalModes, windowPixels } from "coder-agent/os/terminal-device";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const readSome = promisify(read);
const PATIENCE = { timeout: 30_000, interval: 50 };

describe.runIf(process.platform === "linux")("a session on a terminal of this machine", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("dev"));
    expect((await deployment.run(["ssh", "dev", "--", "true"])).code).toBe(0);
  });
  afterAll(async () => {
    await deployment?.close();
  });

  it("shows bytes as the workspace sent them", async () => {
    await using session = Session.start(deployment, ["-t", "dev", "--", "stty -onlcr; printf 'A\\nB\\nC\\n'"]);
    expect(await session.end).toEqual([0, null]);
    await session.shows("C\n");
    expect(session.output).toContain("A\nB\nC\n");
  });

  it("tells the workspace the size of the window in cells and pixels, and the next one", async () => {
    await using session = Session.start(deployment, ["-t", "dev", "--", "stty size; tty; exec sleep 1000"]);
    await session.shows(/33 111\s+\/dev\/\S+\s/);
    const far = openSync(/\/dev\/\S+/.exec(session.output)![0], constants.O_RDONLY | constants.O_NOCTTY);
    try {
      expect(windowPixels(far)).toEqual({ width: 1110, height: 660 });
      session.terminal.resize({ rows: 30, columns: 100, pixelWidth: 1000, pixelHeight: 600 });
      session.child.kill("SIGWINCH");
      await expect.poll(() => windowPixels(far), PATIENCE).toEqual({ width: 1000, height: 600 });
    } finally {
      closeSync(far);
    }
  });

  it.each(["SIGQUIT", "SIGTERM", "SIGINT", "SIGHUP"] as const)(
    "leaves the modes as they were after %s",
    async (signal) => {
      await using session = Session.start(deployment, ["-t", "dev", "--", "echo up; exec sleep 1000"]);
      await session.shows("up");
      expect(terminalModes(session.terminal.program)).toMatchObject({ ECHO: 0, ICANON: 0, OPOST: 0 });
      session.child.kill(signal);
      expect(await session.end).toEqual([null, signal]);
      expect(terminalModes(session.terminal.program)).toEqual(session.before);
    },
  );
});

/** `coder ssh` with a terminal of its own for its standard streams. */
class Session {
  readonly terminal: TerminalDevice;
  readonly child: ChildProcess;
  /** Its exit code and signal. */
  readonly end: Promise<unknown[]>;
  /** Modes of the terminal before the command began. */
  readonly before: ReturnType<typeof terminalModes>;
  output = "";
  readonly #read: Promise<void>;

  static start(deployment: TestDeployment, args: readonly string[]): Session {
    return new Session(deployment, args);
  }

  private constructor(deployment: TestDeployment, args: readonly string[]) {
    this.terminal = new TerminalDevice();
    this.terminal.resize({ rows: 33, columns: 111, pixelWidth: 1110, pixelHeight: 660 });
    const { program } = this.terminal;
    this.before = terminalModes(program);
    this.child = spawn(process.execPath, [coder, "ssh", ...args], {
      env: deployment.environment(),
      stdio: [program, program, program],
    });
    this.end = once(this.child, "exit");
    this.#read = this.#follow();
  }

  async shows(text: string | RegExp): Promise<void> {
    await expect.poll(() => this.output, PATIENCE).toMatch(text);
  }

  async #follow(): Promise<void> {
    for (;;) {
      const { bytesRead, buffer } = await readSome(this.terminal.master, Buffer.alloc(4096), 0, 4096, null).catch(
        () => ({
          bytesRead: 0, // EIO: no program has it open
          buffer: Buffer.alloc(0),
        }),
      );
      if (bytesRead === 0) return;
      this.output += buffer.toString("utf8", 0, bytesRead);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill("SIGKILL");
    await this.end;
    this.terminal.closeProgramSide();
    await this.#read;
    this.terminal.close();
  }
}
