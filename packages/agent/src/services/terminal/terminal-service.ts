/**
 * Terminals that outlive their connection (port 2 of the tunnel): a client that reconnects with the same id finds the
 * program as it was left. Output is buffered here; there is no other backend, so clients that ask for `screen` get this
 * one.
 */
import type { Duplex } from "node:stream";
import type { Logger } from "wg-userspace/base/ports";
import { existingDirectory, resolveCommand } from "../../host/command.ts";
import { buildEnvironment, type SessionEndpoints } from "../../host/environment.ts";
import { ProcessSessions } from "../../host/processes.ts";
import { Pty, type PtyOptions, ptyAvailability } from "../../host/pty.ts";
import { type Schedule, schedule } from "../../host/schedule.ts";
import type { SessionUser } from "../../host/user.ts";
import { TerminalDevice } from "../../os/terminal-device.ts";
import { InitReader, type TerminalInit } from "./messages.ts";
import { Terminal, type TerminalProgram } from "./terminal.ts";

/** Understood by the terminals of browsers. */
const TERM = "xterm-256color";
/** A program without viewers is hung up after this time, unless its client asked for more. */
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
}

export class TerminalService {
  readonly #options: TerminalServiceOptions;
  readonly #schedule: Schedule;
  readonly #processes: ProcessSessions;
  readonly #terminals = new Map<string, Terminal>();
  readonly #undecided = new Set<Duplex>();
  #closed = false;

  constructor(options: TerminalServiceOptions) {
    this.#options = options;
    this.#schedule = options.schedule ?? schedule;
    this.#processes = new ProcessSessions(options.logger);
  }

  /** Viewers connected now. */
  get viewers(): number {
    return [...this.#terminals.values()].reduce((sum, terminal) => sum + terminal.viewers, 0);
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
    for (const terminal of this.#terminals.values()) terminal.close();
    await ending;
  }

  #open(stream: Duplex, init: TerminalInit, rest: Uint8Array, endpoints: SessionEndpoints): void {
    const known = this.#terminals.get(init.id);
    if (known !== undefined) {
      if (!known.belongsTo(init.user)) refuse(stream, "this terminal belongs to another user");
      else if (!known.attach(stream, init, rest)) refuse(stream, "too many viewers of this terminal");
      return;
    }
    const problem = this.#problemWith(init);
    if (problem !== undefined) {
      refuse(stream, problem);
      return;
    }
    try {
      this.#start(init, endpoints).attach(stream, init, rest);
    } catch (error) {
      this.#options.logger.log("warn", "a terminal's program could not be started", { error: String(error) });
      refuse(stream, `the program could not be started: ${error instanceof Error ? error.message : String(error)}`);
    }
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

  #start(init: TerminalInit, endpoints: SessionEndpoints): Terminal {
    const { logger } = this.#options;
    const user = this.#options.user();
    const start = this.#options.start ?? startOnTerminal;
    const program = start({
      ...resolveCommand(user, init.command),
      directory: existingDirectory([this.#options.directory(), user.home]),
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
    const keepMs = Math.max(UNATTENDED_MS, init.keepSeconds * 1_000);
    let forget = (): void => undefined;
    this.#processes.add(program.pid);
    const terminal: Terminal = new Terminal(program, init.user, this.#schedule, {
      onAttended: (attended) => {
        forget();
        if (attended) return;
        forget = this.#schedule(() => {
          logger.log("info", "hanging up a terminal without viewers");
          this.#processes.hangUp(terminal.pid, KILL_GRACE_MS);
          terminal.close();
        }, keepMs);
      },
      onViewerError: (error) => logger.log("warn", "terminal viewer dropped", { error }),
      onEnded: () => {
        forget();
        this.#processes.ended(program.pid);
        this.#terminals.delete(init.id);
      },
    });
    this.#terminals.set(init.id, terminal);
    return terminal;
  }
}

/** Erasing removes whole characters: every client of this service uses UTF-8. */
function startOnTerminal(options: PtyOptions): Pty {
  const device = new TerminalDevice();
  device.setModes({ IUTF8: 1 });
  return new Pty(options, device);
}

/** Written to the terminal itself: its user sees nothing else. */
function refuse(stream: Duplex, why: string): void {
  stream.resume();
  stream.end(`coder agent: ${why}\r\n`);
}
