/**
 * Terminals that outlive their connection (port 2 of the tunnel): a client that reconnects with the same id finds the program as
 * it was left. Output is buffered here. There is no other backend, so clients that request `screen` get this one.
 */
import type { Duplex } from "node:stream";
import { EVENT_RECORD, toRecords } from "coder-protocol/terminal/records";
import type { Logger } from "wg-userspace/base/ports";
import { resolveCommand, startDirectory } from "../../host/command.ts";
import { buildEnvironment, type SessionEndpoints } from "../../host/environment.ts";
import { foregroundProgram, workingDirectory } from "../../host/foreground.ts";
import { ProcessSessions } from "../../host/processes.ts";
import { Pty, type PtyOptions, ptyAvailability } from "../../host/pty.ts";
import { type Schedule, schedule } from "../../host/schedule.ts";
import { type ThreadShares, threadShares } from "../../host/thread-shares.ts";
import type { SessionUser } from "../../host/user.ts";
import { TerminalDevice } from "../../os/terminal-device.ts";
import { InitReader, MAX_KEEP_SECONDS, type TerminalInit } from "./messages.ts";
import { Terminal, type TerminalProgram } from "./terminal.ts";

/** A type that browser terminals understand. */
const TERM = "xterm-256color";
/** A program without viewers is hung up after this time, unless its client requested more. */
const UNATTENDED_MS = 5 * 60_000;
/** From the hang-up to SIGKILL. */
const KILL_GRACE_MS = 5_000;
const INIT_TIMEOUT_MS = 15_000;
const MAX_TERMINALS = 128;
/** Connections that have not sent their first message yet. */
const MAX_UNDECIDED = 64;
const BACKENDS = new Set(["", "buffered", "screen"]);

export interface TerminalServiceOptions {
  /** Workspace variables, evaluated for every program. */
  readonly environment: () => Readonly<Record<string, string>>;
  /** Where programs start; the home directory when undefined or missing. */
  readonly directory: () => string | undefined;
  /** Evaluated for every terminal. */
  readonly user: () => SessionUser;
  readonly logger: Logger;
  /** Default: the process's timers. */
  readonly schedule?: Schedule;
  /** Default: a pseudo-terminal of this machine. Throws when the program cannot be started. */
  readonly start?: (options: PtyOptions) => TerminalProgram;
  readonly maxTerminals?: number;
  /** Default: the machine's. In ms since 1970. */
  readonly clock?: () => number;
  /** Default: those of this process. */
  readonly threads?: Pick<ThreadShares, "maySilence" | "silent">;
}

/** A terminal as `/api/v0/terminals` lists it. Times are RFC 3339. */
export interface TerminalRecord {
  readonly id: string;
  readonly command: string;
  readonly title: string;
  readonly started_at: string;
  readonly last_attached_at: string;
  readonly viewers: number;
  readonly viewer_names: readonly string[];
  readonly cols: number;
  readonly rows: number;
  /** When it will be hung up; null while it has viewers. */
  readonly kept_until: string | null;
  /** Name of the program in the foreground; empty when unknown. */
  readonly foreground: string;
  /** Id of the user to whom it belongs; empty for a client with its own tunnel. */
  readonly owner: string;
}

/** What is remembered about a terminal besides its program. */
interface Entry {
  readonly terminal: Terminal;
  readonly command: string;
  readonly startedAt: number;
  attachedAt: number;
  keepMs: number;
  keptUntil: number | undefined;
  /** Given by a user; takes precedence over the program's. */
  title: string | undefined;
}

const MAX_TITLE_LENGTH = 120;

export class TerminalService {
  readonly #options: TerminalServiceOptions;
  readonly #schedule: Schedule;
  readonly #processes: ProcessSessions;
  readonly #terminals = new Map<string, Entry>();
  readonly #clock: () => number;
  readonly #undecided = new Set<Duplex>();
  readonly #threads: Pick<ThreadShares, "maySilence" | "silent">;
  #closed = false;

  constructor(options: TerminalServiceOptions) {
    this.#options = options;
    this.#schedule = options.schedule ?? schedule;
    this.#processes = new ProcessSessions(options.logger);
    this.#clock = options.clock ?? Date.now;
    this.#threads = options.threads ?? threadShares();
  }

  /** Viewers connected now. */
  get viewers(): number {
    return [...this.#terminals.values()].reduce((sum, { terminal }) => sum + terminal.viewers, 0);
  }

  /** Programs running, with or without viewers. */
  get terminals(): number {
    return this.#terminals.size;
  }

  /** Serves one connection of the tunnel; owns the stream. */
  handleConnection(stream: Duplex, endpoints: SessionEndpoints): void {
    if (this.#closed || this.#undecided.size >= MAX_UNDECIDED) {
      stream.destroy();
      return;
    }
    stream.on("error", () => undefined); // "close" follows
    this.#undecided.add(stream);
    const reader = new InitReader();
    const forget = this.#schedule(() => stream.destroy(), INIT_TIMEOUT_MS);
    const decided = (): void => {
      forget();
      this.#undecided.delete(stream);
      stream.off("data", read);
      stream.off("end", over);
      stream.off("close", decided);
    };
    const over = (): void => {
      decided();
      stream.destroy();
    };
    const read = (chunk: Uint8Array): void => {
      const message = reader.push(chunk);
      if (message === undefined) return;
      decided();
      if ("error" in message) {
        this.#options.logger.log("warn", "terminal refused", { error: message.error });
        stream.destroy();
      } else this.#open(stream, message.init, message.rest, endpoints);
    };
    stream.on("data", read);
    stream.on("end", over);
    stream.on("close", decided);
  }

  /** Ends the programs: a hang-up, and SIGKILL after the grace. */
  async close(options: { readonly graceMs: number }): Promise<void> {
    this.#closed = true;
    for (const stream of this.#undecided) stream.destroy();
    const ending = this.#processes.terminateAll(options.graceMs);
    for (const { terminal } of this.#terminals.values()) terminal.close();
    await ending;
  }

  list(): readonly TerminalRecord[] {
    return [...this.#terminals].map(([id, entry]) => {
      const { terminal } = entry;
      return {
        id,
        command: entry.command,
        title: entry.title ?? plainTitle(terminal.title),
        started_at: time(entry.startedAt),
        last_attached_at: time(entry.attachedAt),
        viewers: terminal.viewers,
        viewer_names: terminal.viewerNames,
        cols: terminal.size.columns,
        rows: terminal.size.rows,
        kept_until: entry.keptUntil === undefined ? null : time(entry.keptUntil),
        foreground: foregroundProgram(terminal.pid),
        owner: terminal.user,
      };
    });
  }

  /** Hangs up, and kills what is left after the grace period. @returns Whether there is such a terminal. */
  end(id: string): boolean {
    const entry = this.#terminals.get(id);
    if (entry === undefined) return false;
    this.#hangUp(entry.terminal);
    return true;
  }

  /**
   * @param title Empty to show the program's title again.
   * @returns Whether there is such a terminal.
   */
  rename(id: string, title: string): boolean {
    const entry = this.#terminals.get(id);
    if (entry === undefined) return false;
    const plain = plainTitle(title);
    entry.title = plain === "" ? undefined : plain;
    return true;
  }

  /**
   * The directory of the terminal's shell: as the shell reported it, otherwise as the system knows it. Undefined when neither is
   * available.
   */
  directoryOf(id: string): string | undefined {
    const terminal = this.#terminals.get(id)?.terminal;
    if (terminal === undefined) return undefined;
    return pathOfFileUrl(terminal.directory) ?? workingDirectory(terminal.pid);
  }

  /** @param silent Paths that must not be touched; undefined if that is not known yet. */
  #open(
    stream: Duplex,
    init: TerminalInit,
    rest: Uint8Array,
    endpoints: SessionEndpoints,
    silent?: ReadonlySet<string>,
  ): void {
    const known = this.#terminals.get(init.id);
    if (known !== undefined) {
      if (!known.terminal.belongsTo(init.user)) refuse(stream, init, "this terminal belongs to another user");
      else if (known.terminal.attach(stream, init, rest)) this.#attached(known, init);
      else refuse(stream, init, "too many viewers of this terminal");
      return;
    }
    const problem = this.#problemWith(init);
    if (problem !== undefined) {
      refuse(stream, init, problem);
      return;
    }
    if (silent === undefined && this.#threads.maySilence(this.#touched())) {
      void this.#openLater(stream, init, rest, endpoints);
      return;
    }
    try {
      this.#start(init, endpoints, silent).attach(stream, init, rest);
    } catch (error) {
      this.#options.logger.log("warn", "a terminal's program could not be started", { error: String(error) });
      refuse(
        stream,
        init,
        `the program could not be started: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }

  /** The paths that a start touches on the main thread, where waiting for one would stop the whole agent. */
  #touched(): readonly string[] {
    const directory = this.#options.directory();
    return [this.#options.user().home, ...(directory === undefined ? [] : [directory])];
  }

  async #openLater(stream: Duplex, init: TerminalInit, rest: Uint8Array, endpoints: SessionEndpoints): Promise<void> {
    this.#undecided.add(stream);
    stream.pause(); // without a listener, what the client sends meanwhile would be lost
    const silent = await this.#threads.silent(this.#touched());
    this.#undecided.delete(stream);
    if (this.#closed || stream.destroyed) return void stream.destroy();
    for (const path of silent) this.#options.logger.log("warn", "a file system does not answer", { path });
    this.#open(stream, init, rest, endpoints, silent);
    stream.resume();
  }

  #problemWith(init: TerminalInit): string | undefined {
    if (init.container !== "") return "this agent has no containers";
    if (!BACKENDS.has(init.backend)) return `there is no backend "${init.backend.slice(0, 64)}"; there is "buffered"`;
    if (this.#terminals.size >= (this.#options.maxTerminals ?? MAX_TERMINALS))
      return "too many terminals are open in this workspace: end one, or wait until an unused one is closed";
    if (this.#options.start !== undefined) return undefined;
    const availability = ptyAvailability();
    return availability.available ? undefined : `no terminal can be made here: ${availability.reason}`;
  }

  #start(init: TerminalInit, endpoints: SessionEndpoints, silent: ReadonlySet<string> | undefined): Terminal {
    const { logger } = this.#options;
    const user = this.#options.user();
    const start = this.#options.start ?? startOnTerminal;
    const directory = startDirectory(this.#options.directory(), user.home, silent);
    if (directory.problem !== undefined) logger.log("warn", "a terminal starts in /", { reason: directory.problem });
    const program = start({
      ...resolveCommand(user, init.command === "" ? undefined : init.command),
      directory: directory.path,
      environment: buildEnvironment({
        inherited: process.env,
        user,
        client: {},
        workspace: this.#options.environment(),
        endpoints,
        terminal: { type: TERM },
      }),
      size: init,
    });
    this.#processes.add(program.pid);
    const startedAt = this.#clock();
    let forget = (): void => undefined;
    const terminal: Terminal = new Terminal(
      program,
      { id: init.id, command: init.command, startedAt: time(startedAt), size: init },
      { user: init.user, schedule: this.#schedule },
      {
        onAttended: (attended) => {
          forget();
          entry.keptUntil = attended ? undefined : this.#clock() + entry.keepMs;
          if (attended) return;
          forget = this.#schedule(() => {
            logger.log("info", "hanging up a terminal without viewers");
            this.#hangUp(terminal);
          }, entry.keepMs);
        },
        onViewerError: (error) => logger.log("warn", "terminal viewer dropped", { error }),
        onKill: () => this.#hangUp(terminal),
        onEnded: () => {
          forget();
          this.#processes.ended(program.pid);
          this.#terminals.delete(init.id);
        },
      },
    );
    const entry: Entry = {
      terminal,
      command: init.command,
      startedAt,
      attachedAt: startedAt,
      keepMs: UNATTENDED_MS,
      keptUntil: undefined,
      title: undefined,
    };
    this.#attached(entry, init);
    this.#terminals.set(init.id, entry);
    return terminal;
  }

  /** The last viewer that requests a time decides how long the program runs on without viewers. */
  #attached(entry: Entry, { keepSeconds }: TerminalInit): void {
    entry.attachedAt = this.#clock();
    if (keepSeconds > 0) entry.keepMs = Math.max(UNATTENDED_MS, Math.min(keepSeconds, MAX_KEEP_SECONDS) * 1_000);
  }

  #hangUp(terminal: Terminal): void {
    this.#processes.hangUp(terminal.pid, KILL_GRACE_MS);
    terminal.close();
  }
}

/** Makes erasing remove whole characters: every client of this service uses UTF-8. */
function startOnTerminal(options: PtyOptions): Pty {
  const device = new TerminalDevice();
  device.setModes({ IUTF8: 1 });
  return new Pty(options, device);
}

/** Sends a raw viewer the reason as output, because its user sees nothing else. */
function refuse(stream: Duplex, { framed }: TerminalInit, why: string): void {
  stream.resume();
  if (framed) stream.end(toRecords(EVENT_RECORD, Buffer.from(JSON.stringify({ type: "notice", text: why }))));
  else stream.end(`coder agent: ${why}\r\n`);
}

/** Ignores the host: the shell may use another name for the machine than the agent does. */
function pathOfFileUrl(text: string): string | undefined {
  const url = URL.parse(text);
  if (url?.protocol !== "file:") return undefined;
  try {
    const path = decodeURIComponent(url.pathname);
    return path.includes("\0") ? undefined : path;
  } catch {
    return undefined; // not UTF-8
  }
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** Removes control characters and those that change the direction of text, and limits the length. */
function plainTitle(text: string): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]/g, "");
  return [...plain.trim()].slice(0, MAX_TITLE_LENGTH).join("");
}
