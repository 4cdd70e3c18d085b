import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Logger } from "wg-userspace/base/ports";
import { ownedPipe } from "wg-userspace/io/sockets/owned-pipe";
import {
  isFileTransfer,
  type ResolvedCommand,
  resolveCommand,
  startDirectory,
  TRANSFER_BLOCKED_MESSAGE,
  TRANSFER_BLOCKED_STATUS,
} from "../../host/command.ts";
import { buildEnvironment, ClientEnvironment, type SessionEndpoints } from "../../host/environment.ts";
import type { ProcessSessions } from "../../host/processes.ts";
import { Pty, ptyAvailability } from "../../host/pty.ts";
import type { ThreadShares } from "../../host/thread-shares.ts";
import type { SessionUser } from "../../host/user.ts";
import { type Argument, byteLength, hasNul, type ProgramExit, startOnPipes } from "../../os/spawn.ts";
import { TerminalDevice, type WindowSize } from "../../os/terminal-device.ts";
import type { TerminalModes } from "../../os/termios.ts";
import type { ExitReport, SshChannel } from "./channel.ts";
import type { ChannelOpener } from "./forwarding.ts";
import type { ChannelRequest, TerminalRequest } from "./requests.ts";
import { findSftpServer } from "./sftp/locate.ts";
import { serveSftp } from "./sftp/sftp-server.ts";
import { afterUserRc, findUserRc, runUserRc } from "./user-rc.ts";
import { findXauth, findXauthThatAnswers, programFolders, X11Display, type X11Request } from "./x11.ts";

/** Exit status of the agent's own failures, distinct from those of programs. */
export const START_FAILED_STATUS = 229;
/** Exit report of a session whose client has left; never sent. */
const ABANDONED: ExitReport = { status: 255 };
/** Longest single argument of Linux, with its NUL (execve(2), MAX_ARG_STRLEN). */
const MAX_COMMAND_BYTES = 128 * 1024 - 1;
const MAX_SUBSYSTEM_LENGTH = 64;
const MAX_TERM_BYTES = 1024;
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

/** Signals that the RFC does not name, as sshd reports them. */
const OTHER_SIGNAL = "SIG@openssh.com";

export type SessionType = "ssh" | "vscode" | "jetbrains";

/** What a session needs from its service and connection. */
export interface SessionContext {
  readonly user: SessionUser;
  readonly logger: Logger;
  readonly endpoints: SessionEndpoints;
  readonly processes: ProcessSessions;
  readonly threads: ThreadShares;
  readonly maxEnvBytes: number;
  readonly killGraceMs: number;
  readonly blockFileTransfer: boolean;
  /** `builtin`, or the path of a program; undefined for the system's program, if there is one. */
  readonly sftpServer: string | undefined;
  readonly terminals: boolean;
  readonly environment: () => Readonly<Record<string, string>>;
  readonly directory: () => string | undefined;
  readonly motd: (answers: (path: string) => Promise<boolean>) => Promise<string | undefined>;
  readonly banners: () => readonly string[];
  /** Opens channels for the agent. */
  readonly opener: ChannelOpener;
  /** Socket of the forwarded SSH agent; undefined when it cannot be made. */
  readonly forwardAgent: () => string | undefined;
  /** Counts the session, or refuses it. */
  readonly admit: (type: SessionType) => Admission | undefined;
  /** The service ends its programs, and starts none. */
  readonly closing: () => boolean;
}

/** An admitted session's place. */
export interface Admission {
  /** The session has ended for the client; later calls are ignored. */
  closed(reason: string): void;
  /** The program has ended as well; called once. */
  ended(): void;
}

type Environment = Readonly<Record<string, Argument>>;

interface Terminal {
  readonly type: Argument;
  readonly device: TerminalDevice;
  size: WindowSize;
}

/** What the client can do to a running program. */
interface Running {
  readonly pid: number;
  resize(size: WindowSize): void;
  /** The client no longer reads the output. */
  stopOutput(): void;
}

/** One session channel: collects the requests that prepare it, runs one program and reports its exit. */
export class SshSession {
  readonly #context: SessionContext;
  readonly #channel: SshChannel;
  readonly #client: ClientEnvironment;
  #terminal: Terminal | undefined;
  #terminalMissing: string | undefined;
  #agentSocket: string | undefined;
  #x11: { readonly request: X11Request; readonly xauth: string | undefined } | undefined;
  #started = false;
  #running: Running | undefined;
  /** Paths that must not be touched. */
  #silent: ReadonlySet<string> = new Set();

  constructor(context: SessionContext, channel: SshChannel) {
    this.#context = context;
    this.#channel = channel;
    this.#client = new ClientEnvironment(context.maxEnvBytes);
  }

  /** @returns Whether the request succeeded. Programs start after the answer was sent. */
  handleRequest(request: ChannelRequest): boolean {
    switch (request.type) {
      case "pty-req":
        return this.#requestTerminal(request.terminal);
      case "env":
        return !this.#started && this.#client.set(request.name, request.value);
      case "auth-agent-req@openssh.com":
        this.#agentSocket ??= this.#started ? undefined : this.#context.forwardAgent();
        return this.#agentSocket !== undefined;
      case "x11-req":
        return this.#requestX11(request.x11);
      case "window-change":
        return this.#resize(request.size);
      case "signal":
        return this.#signal(request.name);
      case "eow@openssh.com":
        this.#running?.stopOutput();
        return this.#running !== undefined;
      case "shell":
        return this.#start((environment) => this.#runShell(environment, undefined));
      case "exec": {
        const { command } = request;
        if (byteLength(command) > MAX_COMMAND_BYTES || hasNul(command)) return false;
        return this.#start((environment) => this.#runShell(environment, command));
      }
      case "subsystem":
        if (request.name === "sftp") return this.#start((environment) => this.#runSftp(environment));
        this.#context.logger.log("info", "unknown subsystem refused", {
          name: request.name.slice(0, MAX_SUBSYSTEM_LENGTH),
        });
        return false;
    }
  }

  /** The client's process is known to have ended: hang up on its program, with a terminal or without. */
  hangUp(): void {
    if (this.#running !== undefined) this.#context.processes.hangUp(this.#running.pid, this.#context.killGraceMs);
  }

  /** Without xauth no program could authenticate, so the request is refused here, while the client still gets an answer. */
  #requestX11(request: X11Request): boolean {
    const { threads } = this.#context;
    const folders = programFolders(process.env["PATH"]);
    // What may not answer is looked at later, when it can be waited for.
    const answering = folders.filter((folder) => !threads.maySilence([folder]));
    const xauth = findXauth(answering);
    if ((xauth === undefined && answering.length === folders.length) || this.#started || this.#x11 !== undefined)
      return false;
    this.#x11 = { request, xauth };
    return true;
  }

  /** The terminal is created here, while the client can still be refused one. */
  #requestTerminal(request: TerminalRequest): boolean {
    if (this.#started || this.#terminal !== undefined || this.#channel.peerClosed) return false;
    // Any other name is passed on, as sshd does: it is the value of a variable, which programs look up or ignore.
    if (hasNul(request.term) || byteLength(request.term) > MAX_TERM_BYTES) return false;
    const availability = this.#context.terminals
      ? ptyAvailability()
      : ({ available: false, reason: "switched off" } as const);
    if (!availability.available) {
      this.#terminalMissing = availability.reason;
      return false;
    }
    const device = this.#makeTerminal(request.modes);
    if (device === undefined) return false;
    this.#terminal = { type: request.term, device, size: request.size };
    // A program takes the terminal over; without a program it closes with the channel.
    this.#channel.once("peerclose", () => this.#releaseTerminal());
    return true;
  }

  #makeTerminal(modes: TerminalModes): TerminalDevice | undefined {
    let device: TerminalDevice;
    try {
      device = new TerminalDevice();
    } catch (error) {
      this.#terminalMissing = describe(error);
      this.#context.logger.log("warn", "no terminal could be made", { error: String(error) });
      return undefined;
    }
    try {
      device.setModes(modes);
    } catch (error) {
      this.#context.logger.log("debug", "terminal modes refused", { error: String(error) });
    }
    return device;
  }

  #releaseTerminal(): void {
    if (this.#running === undefined) this.#terminal?.device.close();
  }

  #resize(size: WindowSize): boolean {
    if (this.#terminal === undefined) return false;
    this.#terminal.size = size;
    this.#running?.resize(size);
    return true;
  }

  #signal(name: string): boolean {
    if (this.#running === undefined || !SIGNALS.has(name)) return false;
    this.#context.processes.signal(this.#running.pid, `SIG${name}` as NodeJS.Signals);
    return true;
  }

  #start(run: (environment: Environment) => Promise<ExitReport>): boolean {
    if (this.#started || this.#channel.peerClosed) return false;
    const admission = this.#context.admit(this.#client.sessionType);
    if (admission === undefined) return false;
    this.#started = true;
    this.#channel.once("peerclose", () => admission.closed("client left"));
    void this.#run(run).then((exit) => {
      this.#running = undefined;
      admission.ended();
      admission.closed(
        "signal" in exit ? `signal ${exit.signal}` : exit.status === 0 ? "" : `exit status ${exit.status}`,
      );
      if (this.#channel.peerClosed) this.#channel.destroy();
      else this.#channel.finish(exit);
    });
    return true;
  }

  async #run(run: (environment: Environment) => Promise<ExitReport>): Promise<ExitReport> {
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

  async #openDisplay(environment: Environment): Promise<X11Display | undefined> {
    if (this.#x11 === undefined) return undefined;
    const { opener, logger } = this.#context;
    try {
      const { request } = this.#x11;
      const xauth =
        this.#x11.xauth ?? (await findXauthThatAnswers(programFolders(process.env["PATH"]), this.#context.threads));
      return await X11Display.open({ request, xauth, environment, opener, logger });
    } catch (error) {
      if (!this.#channel.peerClosed)
        this.#channel.stderr.write(`coder agent: no X11 display here (${describe(error)}), continuing without one\n`);
      return undefined;
    }
  }

  #environment(): Environment {
    return buildEnvironment({
      inherited: process.env,
      user: this.#context.user,
      client: this.#client.variables,
      workspace: this.#context.environment(),
      endpoints: this.#context.endpoints,
      agentSocket: this.#agentSocket,
      terminal: this.#terminal,
    });
  }

  async #runShell(environment: Environment, command: Argument | undefined): Promise<ExitReport> {
    if (command !== undefined && this.#context.blockFileTransfer && isFileTransfer(command))
      return this.#blockTransfer();
    const { user } = this.#context;
    const resolved = resolveCommand(user, command);
    await this.#findSilent([user.home, this.#context.directory(), resolved.file]);
    if (this.#silent.has(resolved.file))
      return this.#refuse(`the file system of ${resolved.file} does not answer`, START_FAILED_STATUS);
    if (this.#terminal !== undefined) {
      if (command === undefined) await this.#printBanners();
      const directory = this.#directory(this.#context.directory());
      const rc = this.#userRc();
      const started = rc === undefined ? resolved : afterUserRc(rc, resolved);
      return this.#runOnTerminal(started, directory, environment, this.#terminal);
    }
    if (this.#terminalMissing !== undefined) {
      this.#channel.stderr.write(`coder agent: no terminal here (${this.#terminalMissing}), continuing without one\n`);
    }
    return this.#afterUserRc(environment, (directory) => this.#runOnPipes(resolved, directory, environment));
  }

  /** The user's script runs first, in the same directory; the session starts whatever goes wrong with it. */
  async #afterUserRc(environment: Environment, run: (directory: string) => Promise<ExitReport>): Promise<ExitReport> {
    const { processes, killGraceMs, logger } = this.#context;
    const directory = this.#directory(this.#context.directory());
    const file = this.#userRc();
    if (file === undefined || this.#channel.peerClosed) return run(directory);
    let hangUp = (): void => undefined;
    let stop = (): void => undefined;
    try {
      stop = await runUserRc({
        file,
        directory,
        environment,
        stdout: this.#channel,
        stderr: this.#channel.stderr,
        onStarted: (pid) => {
          processes.add(pid);
          hangUp = () => processes.hangUp(pid, killGraceMs);
          this.#channel.once("peerclose", hangUp);
        },
        onEnded: (pid) => processes.ended(pid),
      });
    } catch (error) {
      logger.log("warn", "the user's script could not be started", { file, error: String(error) });
    }
    this.#channel.off("peerclose", hangUp);
    this.#channel.once("peerclose", stop);
    try {
      return this.#context.closing() ? ABANDONED : await run(directory);
    } finally {
      this.#channel.off("peerclose", stop);
      stop();
    }
  }

  #userRc(): string | undefined {
    const { home } = this.#context.user;
    return findUserRc(this.#silent.has(home) ? undefined : home);
  }

  /** Where the program starts. As sshd does, it tells the client when the home directory cannot be entered. */
  #directory(preferred: string | undefined): string {
    const { path, problem } = startDirectory(preferred, this.#context.user.home, this.#silent);
    if (problem !== undefined && !this.#channel.peerClosed) {
      if (this.#terminal === undefined) this.#channel.stderr.write(`${problem}\n`);
      else this.#channel.write(`${problem}\r\n`);
    }
    return path;
  }

  async #runSftp(environment: Environment): Promise<ExitReport> {
    if (this.#context.blockFileTransfer) return this.#blockTransfer();
    const program = this.#context.sftpServer ?? findSftpServer() ?? "builtin";
    const { user, logger, endpoints, threads } = this.#context;
    const { home } = user;
    if (program !== "builtin") {
      await this.#findSilent([home]);
      return this.#runOnPipes({ file: program, args: [] }, this.#directory(undefined), environment);
    }
    const over = new AbortController();
    const leave = (): void => over.abort(new Error("the client has left"));
    if (this.#channel.peerClosed) leave();
    else this.#channel.once("peerclose", leave);
    const client = endpoints.remote.address;
    try {
      return { status: await serveSftp(this.#channel, { home, logger, client, threads, left: over.signal }) };
    } finally {
      this.#channel.off("peerclose", leave);
    }
  }

  /** Asks file systems that may not answer, before anything on them is touched: to wait for one here would stop the whole agent. */
  async #findSilent(paths: readonly (string | undefined)[]): Promise<void> {
    const absolute = paths.filter((path) => path?.startsWith("/") === true) as string[];
    const { threads, logger } = this.#context;
    if (!threads.maySilence(absolute)) return;
    this.#silent = await threads.silent(absolute);
    for (const path of this.#silent) logger.log("warn", "a file system does not answer", { path });
  }

  async #printBanners(): Promise<void> {
    const { user, banners, motd, threads } = this.#context;
    if (!this.#silent.has(user.home) && existsSync(join(user.home, ".hushlogin"))) return;
    for (const text of [...banners(), await motd((path) => threads.answers(path))]) {
      if (text === undefined || text === "") continue;
      const lines = text.slice(0, MAX_LOGIN_TEXT).trimEnd().split(/\r?\n/);
      this.#channel.write(`${lines.join("\r\n")}\r\n`);
    }
  }

  /** Separate streams, as in OpenSSH: the program is not killed when the client leaves, but its next write fails. */
  async #runOnPipes(command: ResolvedCommand, directory: string, environment: Environment): Promise<ExitReport> {
    const channel = this.#channel;
    if (channel.peerClosed) return ABANDONED;
    const program = startOnPipes({ ...command, directory, environment });
    const { pid, exited, stdin, stdout, stderr } = program;
    for (const stream of [stdin, stdout, stderr]) {
      stream.on("error", (error) => this.#context.logger.log("debug", "program stream", { error: error.message }));
    }
    const read = Promise.all([closed(stdout), closed(stderr)]);
    this.#context.processes.add(pid);
    void exited.then(() => {
      this.#context.processes.ended(pid);
      stdin.destroy(); // a background program it left behind reads end of file, as with sshd
    });
    const stopOutput = (): void => {
      stdout.destroy();
    };
    this.#running = { pid, resize: () => undefined, stopOutput };
    ownedPipe(stdout, channel, { end: false });
    ownedPipe(stderr, channel.stderr, { end: false });
    ownedPipe(channel, stdin);
    // Input that the program does not read is drained; otherwise the client would wait for window indefinitely.
    stdin.on("close", () => channel.resume());
    const abandon = (): void => {
      stopOutput();
      stderr.destroy();
    };
    channel.once("peerclose", abandon);
    if (channel.peerClosed) abandon();
    await read;
    return report(await exited);
  }

  /** On a terminal, a hang-up is sent when the client leaves. */
  async #runOnTerminal(
    command: ResolvedCommand,
    directory: string,
    environment: Environment,
    terminal: Terminal,
  ): Promise<ExitReport> {
    const channel = this.#channel;
    const { processes, killGraceMs } = this.#context;
    if (channel.peerClosed) return ABANDONED;
    const { device, size } = terminal;
    const pty = new Pty({ ...command, directory, environment, size, ttyVariable: "SSH_TTY" }, device);
    processes.add(pty.pid);
    const hangUp = (): void => {
      processes.hangUp(pty.pid, killGraceMs);
      pty.close();
    };
    this.#running = { pid: pty.pid, resize: (changed) => pty.resize(changed), stopOutput: hangUp };
    ownedPipe(pty.stream, channel, { end: false });
    ownedPipe(channel, pty.stream, { end: false });
    pty.stream.on("close", () => channel.resume());
    channel.once("peerclose", hangUp);
    void pty.ended.then(() => processes.ended(pty.pid));
    return report(await pty.exited);
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

function closed(stream: Readable): Promise<void> {
  return new Promise((resolve) => stream.once("close", resolve));
}

/** Exit status or signal, never both (RFC 4254 §6.10). */
function report({ code, signal, coreDumped }: ProgramExit): ExitReport {
  if (code !== undefined && code >= 0) return { status: code };
  const name = signal?.replace(/^SIG/, "") ?? "";
  return { signal: SIGNALS.has(name) ? name : OTHER_SIGNAL, coreDumped };
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
  EILSEQ: "the command or a variable is not UTF-8, which this machine's agent cannot pass on",
};
