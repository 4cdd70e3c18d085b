import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";
import { Pty, type PtyExit, ptyAvailability } from "../pty.ts";
import type { ExitReport, SshChannel } from "./channel.ts";
import {
  existingDirectory,
  isFileTransfer,
  type ResolvedCommand,
  resolveCommand,
  TRANSFER_BLOCKED_MESSAGE,
  TRANSFER_BLOCKED_STATUS,
} from "./command.ts";
import { buildEnvironment, ClientEnvironment, type SessionEndpoints } from "./environment.ts";
import type { ChannelOpener } from "./forwarding.ts";
import type { ProcessSessions } from "./processes.ts";
import { findSftpServer } from "./sftp/locate.ts";
import { serveSftp } from "./sftp/sftp-server.ts";
import type { SessionUser } from "./user.ts";
import { findXauth, parseX11Request, X11Display, type X11Request } from "./x11.ts";

/** Our own failures, told apart from the program's. */
export const START_FAILED_STATUS = 229;
/** Ended by a signal, as `ssh` reports it. */
const KILLED_STATUS = 255;
const MAX_COMMAND_BYTES = 32 * 1024;
const MAX_TERM_LENGTH = 64;
const MAX_LOGIN_TEXT = 64 * 1024;
/** RFC 4254 §6.10. */
const SIGNALS = new Set([
  "ABRT",
  "ALRM",
  "FPE",
  "HUP",
  "ILL",
  "INT",
  "KILL",
  "PIPE",
  "QUIT",
  "SEGV",
  "TERM",
  "USR1",
  "USR2",
]);

export type SessionType = "ssh" | "vscode" | "jetbrains";

/** What a session needs from its service and connection. */
export interface SessionContext {
  readonly user: SessionUser;
  readonly logger: Logger;
  readonly endpoints: SessionEndpoints;
  readonly processes: ProcessSessions;
  readonly maxEnvBytes: number;
  readonly killGraceMs: number;
  readonly blockFileTransfer: boolean;
  /** `builtin`, a program, or undefined: the system's program when it has one. */
  readonly sftpServer: string | undefined;
  readonly terminals: boolean;
  readonly environment: () => Readonly<Record<string, string>>;
  readonly directory: () => string | undefined;
  readonly motd: () => Promise<string | undefined>;
  readonly banners: () => readonly string[];
  /** For channels of the agent's making. */
  readonly opener: ChannelOpener;
  /** Socket of the forwarded authentication agent; undefined when it cannot be made. */
  readonly forwardAgent: () => string | undefined;
  /** Counts the session, or refuses it. */
  readonly admit: (type: SessionType) => Admission | undefined;
}

/** A place among the sessions. */
export interface Admission {
  /** The session is over for the client; later calls are ignored. */
  closed(reason: string): void;
  /** The program has ended as well; called once. */
  ended(): void;
}

interface Terminal {
  readonly type: string;
  columns: number;
  rows: number;
}

/** What a running program lets the client do to it. */
interface Running {
  readonly pid: number;
  resize(columns: number, rows: number): void;
  /** The client no longer reads the output. */
  stopOutput(): void;
}

/** One session channel: collects the requests that prepare it, runs one program, reports how it ended. */
export class SshSession {
  readonly #context: SessionContext;
  readonly #channel: SshChannel;
  readonly #client: ClientEnvironment;
  #terminal: Terminal | undefined;
  #terminalMissing: string | undefined;
  #agentSocket: string | undefined;
  #x11: { readonly request: X11Request; readonly xauth: string } | undefined;
  #started = false;
  #running: Running | undefined;

  constructor(context: SessionContext, channel: SshChannel) {
    this.#context = context;
    this.#channel = channel;
    this.#client = new ClientEnvironment(context.maxEnvBytes);
  }

  /** @returns whether the request succeeded. Programs start after the answer was sent. */
  handleRequest(type: string, data: unknown): boolean {
    switch (type) {
      case "pty-req":
        return this.#requestTerminal(data as { term: string; cols: number; rows: number } | undefined);
      case "env": {
        const { name, value } = data as { name: string; value: string };
        return !this.#started && this.#client.set(name, value);
      }
      case "auth-agent-req@openssh.com":
        this.#agentSocket ??= this.#started ? undefined : this.#context.forwardAgent();
        return this.#agentSocket !== undefined;
      case "x11-req":
        return this.#requestX11(data);
      case "window-change":
        return this.#resize(data as { cols: number; rows: number });
      case "signal":
        return this.#signal(data as string);
      case "eow@openssh.com":
        this.#running?.stopOutput();
        return this.#running !== undefined;
      case "shell":
        return this.#start((environment) => this.#runShell(environment, undefined));
      case "exec": {
        const command = data as string;
        if (Buffer.byteLength(command) > MAX_COMMAND_BYTES || command.includes("\0")) return false;
        return this.#start((environment) => this.#runShell(environment, command));
      }
      case "subsystem":
        return this.#start((environment) => this.#runSubsystem(environment, data as string));
      default:
        return false;
    }
  }

  /** Without xauth no program would be let in: that is refused here, where the client can still say so. */
  #requestX11(data: unknown): boolean {
    const request = parseX11Request(data);
    const xauth = findXauth(process.env["PATH"]);
    if (request === undefined || xauth === undefined || this.#started || this.#x11 !== undefined) return false;
    this.#x11 = { request, xauth };
    return true;
  }

  #requestTerminal(request: { term: string; cols: number; rows: number } | undefined): boolean {
    if (request === undefined || this.#started || this.#terminal !== undefined) return false;
    const availability = this.#context.terminals
      ? ptyAvailability()
      : ({ available: false, reason: "switched off" } as const);
    if (!availability.available) {
      this.#terminalMissing = availability.reason;
      return false;
    }
    const type = TERM_NAME.test(request.term) ? request.term.slice(0, MAX_TERM_LENGTH) : "xterm";
    this.#terminal = { type, columns: request.cols, rows: request.rows };
    return true;
  }

  #resize(size: { cols: number; rows: number }): boolean {
    if (this.#terminal === undefined) return false;
    this.#terminal.columns = size.cols;
    this.#terminal.rows = size.rows;
    this.#running?.resize(size.cols, size.rows);
    return true;
  }

  #signal(name: string): boolean {
    if (this.#running === undefined || !SIGNALS.has(name)) return false;
    this.#context.processes.signal(this.#running.pid, `SIG${name}` as NodeJS.Signals);
    return true;
  }

  #start(run: (environment: Record<string, string>) => Promise<ExitReport>): boolean {
    if (this.#started || this.#channel.peerClosed) return false;
    const admission = this.#context.admit(this.#client.sessionType);
    if (admission === undefined) return false;
    this.#started = true;
    this.#channel.once("peerclose", () => admission.closed("client left"));
    void this.#run(run).then((exit) => {
      this.#running = undefined;
      admission.ended();
      admission.closed(
        exit.status === 0 ? "" : "signal" in exit ? `signal ${exit.signal}` : `exit status ${exit.status}`,
      );
      if (this.#channel.peerClosed) this.#channel.destroy();
      else this.#channel.finish(exit);
    });
    return true;
  }

  async #run(run: (environment: Record<string, string>) => Promise<ExitReport>): Promise<ExitReport> {
    await Promise.resolve(); // the request is answered first
    try {
      if (this.#client.container !== "") return this.#refuse("this agent has no containers", START_FAILED_STATUS);
      const environment = this.#environment();
      const display = await this.#openDisplay(environment);
      if (display === undefined) return await run(environment);
      try {
        return await run({ ...environment, DISPLAY: display.name });
      } finally {
        display.close();
      }
    } catch (error) {
      this.#context.logger.log("warn", "a session could not start", { error: String(error) });
      return this.#refuse(`cannot start the session: ${describe(error)}`, START_FAILED_STATUS);
    }
  }

  async #openDisplay(environment: Record<string, string>): Promise<X11Display | undefined> {
    if (this.#x11 === undefined) return undefined;
    const { opener, logger } = this.#context;
    try {
      return await X11Display.open({ ...this.#x11, environment, opener, logger });
    } catch (error) {
      if (!this.#channel.peerClosed)
        this.#channel.stderr.write(`coder agent: no X11 display here (${describe(error)}), continuing without one\n`);
      return undefined;
    }
  }

  #environment(): Record<string, string> {
    return buildEnvironment({
      inherited: process.env,
      user: this.#context.user,
      client: this.#client.variables,
      workspace: this.#context.environment(),
      endpoints: this.#context.endpoints,
      agentSocket: this.#agentSocket,
      ...(this.#terminal === undefined ? {} : { terminal: this.#terminal }),
    });
  }

  async #runShell(environment: Record<string, string>, command: string | undefined): Promise<ExitReport> {
    if (command !== undefined && this.#context.blockFileTransfer && isFileTransfer(command))
      return this.#blockTransfer();
    const { user } = this.#context;
    const directory = existingDirectory([this.#context.directory(), user.home]);
    const resolved = resolveCommand(user, command);
    if (this.#terminal !== undefined) {
      if (command === undefined) await this.#greet();
      return this.#runOnTerminal(resolved, directory, environment, this.#terminal);
    }
    if (this.#terminalMissing !== undefined) {
      this.#channel.stderr.write(`coder agent: no terminal here (${this.#terminalMissing}), continuing without one\n`);
    }
    return this.#runOnPipes(resolved, directory, environment);
  }

  async #runSubsystem(environment: Record<string, string>, name: string): Promise<ExitReport> {
    if (name !== "sftp") {
      this.#context.logger.log("debug", "unknown subsystem requested", { length: name.length });
      return { status: 1 };
    }
    if (this.#context.blockFileTransfer) return this.#blockTransfer();
    const program = this.#context.sftpServer ?? findSftpServer() ?? "builtin";
    const { home } = this.#context.user;
    if (program !== "builtin") {
      return this.#runOnPipes({ file: program, args: [] }, existingDirectory([home]), environment);
    }
    return { status: await serveSftp(this.#channel, { home, logger: this.#context.logger }) };
  }

  async #greet(): Promise<void> {
    const { user, banners, motd } = this.#context;
    if (existsSync(join(user.home, ".hushlogin"))) return;
    for (const text of [...banners(), await motd()]) {
      if (text === undefined || text === "") continue;
      const lines = text.slice(0, MAX_LOGIN_TEXT).trimEnd().split(/\r?\n/);
      this.#channel.write(`${lines.join("\r\n")}\r\n`);
    }
  }

  /** Separate streams, as OpenSSH: the program is not killed when the client leaves, but its next write fails. */
  async #runOnPipes(command: ResolvedCommand, directory: string, env: Record<string, string>): Promise<ExitReport> {
    const channel = this.#channel;
    if (channel.peerClosed) return { status: KILLED_STATUS };
    const child = spawn(command.file, command.args, { cwd: directory, env, detached: true, stdio: "pipe" });
    const closed = new Promise<ExitReport>((resolve) => {
      child.once("close", (code, signal) => resolve(report(code, signal ?? undefined)));
    });
    await spawned(child);
    const pid = child.pid!;
    this.#context.processes.add(pid);
    child.once("exit", () => this.#context.processes.ended(pid));
    const stopOutput = (): void => {
      child.stdout.destroy();
    };
    this.#running = { pid, resize: () => undefined, stopOutput };
    child.stdout.pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    channel.pipe(child.stdin);
    // What the program does not want is read all the same, or the client would wait for window for ever.
    child.stdin.on("close", () => channel.resume());
    for (const stream of [child.stdin, child.stdout, child.stderr]) {
      stream.on("error", (error) => this.#context.logger.log("debug", "program stream", { error: error.message }));
    }
    const abandon = (): void => {
      stopOutput();
      child.stderr.destroy();
    };
    channel.once("peerclose", abandon);
    if (channel.peerClosed) abandon();
    return closed;
  }

  /** On a terminal the client's leaving is a hang-up. */
  async #runOnTerminal(
    command: ResolvedCommand,
    directory: string,
    environment: Record<string, string>,
    terminal: Terminal,
  ): Promise<ExitReport> {
    const channel = this.#channel;
    const { processes, killGraceMs } = this.#context;
    if (channel.peerClosed) return { status: KILLED_STATUS };
    const pty = new Pty({
      ...command,
      directory,
      environment,
      size: { columns: terminal.columns, rows: terminal.rows },
      ttyVariable: "SSH_TTY",
    });
    processes.add(pty.pid);
    const hangUp = (): void => {
      processes.hangUp(pty.pid, killGraceMs);
      pty.close();
    };
    this.#running = { pid: pty.pid, resize: (columns, rows) => pty.resize({ columns, rows }), stopOutput: hangUp };
    pty.stream.pipe(channel, { end: false });
    channel.pipe(pty.stream, { end: false });
    pty.stream.on("close", () => channel.resume());
    channel.once("peerclose", hangUp);
    void pty.ended.then(() => processes.ended(pty.pid));
    return terminalReport(await pty.exited);
  }

  #blockTransfer(): ExitReport {
    this.#channel.write(TRANSFER_BLOCKED_MESSAGE);
    return { status: TRANSFER_BLOCKED_STATUS };
  }

  #refuse(message: string, status: number): ExitReport {
    if (!this.#channel.peerClosed) this.#channel.stderr.write(`coder agent: ${message}\n`);
    return { status };
  }
}

const TERM_NAME = /^[A-Za-z0-9][A-Za-z0-9+._-]*$/;

function spawned(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
}

function terminalReport(exit: PtyExit): ExitReport {
  return report(exit.signal === undefined ? exit.code : null, exit.signal);
}

function report(code: number | null, signal: string | undefined): ExitReport {
  if (code !== null && code >= 0) return { status: code };
  const name = signal?.replace(/^SIG/, "") ?? "";
  return SIGNALS.has(name) ? { signal: name, status: KILLED_STATUS } : { status: KILLED_STATUS };
}

/** The reason without the stack; the path of the program is the user's own. */
function describe(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  const known = code === undefined ? undefined : REASONS[code];
  return known ?? (code === undefined ? "internal error" : code);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "the program does not exist",
  EACCES: "the program may not be executed",
  EAGAIN: "too many processes",
  EMFILE: "too many open files",
  ENFILE: "too many open files",
  ENOMEM: "out of memory",
  E2BIG: "arguments and environment are too long",
};
