import type { Duplex } from "node:stream";
import type { TerminalControl } from "coder-protocol/terminal/events";
import type { Pty } from "../../host/pty.ts";
import type { Schedule } from "../../host/schedule.ts";
import type { ProgramExit } from "../../os/spawn.ts";
import type { WindowSize } from "../../os/terminal-device.ts";
import { OutputParser } from "./output-parser.ts";
import { Scrollback } from "./scrollback.ts";
import { Viewer, type ViewerInit } from "./viewer.ts";

const MAX_VIEWERS = 32;
/** A viewer that does not read the last output after the program's end is disconnected after this time, in ms. */
const LAST_OUTPUT_MS = 10_000;
/** Resets a terminal (RIS). */
const RESET = Buffer.from("\u001bc");

/** A program on a terminal: {@link Pty}, or a test double. */
export type TerminalProgram = Pick<Pty, "pid" | "exited" | "resize" | "close"> & { readonly stream: Duplex };

export interface TerminalEvents {
  /** The last viewer has left, or the first one has come. */
  onAttended(attended: boolean): void;
  onViewerError(error: string): void;
  /** A viewer asked to end the program. */
  onKill(): void;
  /** The program has ended and its viewers are being disconnected. */
  onEnded(): void;
}

export interface TerminalFacts {
  readonly id: string;
  readonly command: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly size: WindowSize;
}

/**
 * One program with any number of viewers. All see the same output and may type. The viewer that typed or was focused last is the
 * active one: the program has the size of its window, and only its emulator answers the program's queries. A raw viewer cannot
 * report that it was focused, so a size that it sends counts as focus.
 *
 * The fastest viewer sets the pace: the program waits while all of them are behind, and one that falls too far behind the others
 * is dropped; when it reconnects, it gets the scroll-back. Without viewers the program runs on unhindered.
 */
export class Terminal {
  readonly #program: TerminalProgram;
  readonly #facts: TerminalFacts;
  readonly #events: TerminalEvents;
  readonly #schedule: Schedule;
  readonly #scrollback = new Scrollback();
  readonly #parser = new OutputParser();
  /** In order of use, the active one last; read-only viewers are never active. */
  readonly #viewers = new Set<Viewer>();
  #size: WindowSize;
  #viewersSoFar = 0;
  #user: string;
  #ended = false;

  /** @param user Its owner; empty when a client with its own tunnel created it. */
  constructor(
    program: TerminalProgram,
    facts: TerminalFacts,
    parts: { readonly user: string; readonly schedule: Schedule },
    events: TerminalEvents,
  ) {
    this.#program = program;
    this.#facts = facts;
    this.#size = facts.size;
    this.#user = parts.user;
    this.#schedule = parts.schedule;
    this.#events = events;
    program.stream.on("data", (output: Uint8Array) => this.#output(output));
    program.stream.on("drain", () => {
      for (const viewer of this.#viewers) viewer.resumeInput();
      this.#pace();
    });
    void program.exited.then((exit) => this.#end(exit));
  }

  get pid(): number {
    return this.#program.pid;
  }

  get size(): WindowSize {
    return this.#size;
  }

  get user(): string {
    return this.#user;
  }

  /** As the program set it. */
  get title(): string {
    return this.#parser.title;
  }

  /** The directory that the shell reported, as a `file:` URL; empty when there is none. */
  get directory(): string {
    return this.#parser.directory;
  }

  /** Names of the viewers, in the order of their use; empty where a viewer has none. */
  get viewerNames(): readonly string[] {
    return [...this.#viewers].map(({ name }) => name);
  }

  /**
   * A terminal belongs to the first user whom the server connects, and is shown to no other. A client with its own tunnel has no
   * name here, but it can open a shell of the same account by SSH anyway, so the id suffices for it.
   */
  belongsTo(user: string): boolean {
    if (this.#user === "") this.#user = user;
    return user === "" || this.#user === user;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /**
   * Shows the terminal, the scroll-back first, on a stream that it owns from now on.
   * @param first Input that arrived with the request.
   * @returns False when there are too many viewers; the stream then still belongs to the caller.
   */
  attach(stream: Duplex, init: ViewerInit, first: Uint8Array): boolean {
    if (this.#viewers.size >= MAX_VIEWERS || this.#ended) return false;
    const viewer = new Viewer(stream, ++this.#viewersSoFar, init);
    const leave = (): void => this.#leave(viewer);
    stream.on("error", leave);
    stream.on("close", leave);
    stream.on("end", leave);
    stream.on("drain", () => this.#pace());
    const isFirst = this.#active === undefined;
    this.#join(viewer);
    // Before the replay, which a raw viewer cannot distinguish from later output.
    if (!viewer.readOnly && (isFirst || !viewer.framed)) this.#applySize(viewer.size);
    this.#greet(viewer);
    this.#announceViewers();
    if (viewer === this.#active) this.#announceSize();
    else this.#announceSizeTo(viewer);
    if (this.#viewers.size === 1) this.#events.onAttended(true);
    this.#pace();
    stream.on("data", (chunk: Uint8Array) => this.#input(viewer, chunk));
    if (first.length > 0) this.#input(viewer, first);
    return true;
  }

  /** Hangs up; viewers are disconnected once the program has ended. */
  close(): void {
    this.#program.close();
  }

  get #active(): Viewer | undefined {
    return [...this.#viewers].filter(({ readOnly }) => !readOnly).at(-1);
  }

  /** A framed viewer becomes active with its first key or focus, unless it is alone; a raw one at once. */
  #join(viewer: Viewer): void {
    const active = this.#active;
    this.#viewers.add(viewer);
    if (active === undefined || viewer.readOnly || !viewer.framed) return;
    this.#viewers.delete(active);
    this.#viewers.add(active);
  }

  #greet(viewer: Viewer): void {
    const past = Buffer.concat([this.#scrollback.replay(), Buffer.from(this.#parser.modes.others())]);
    if (!viewer.framed) {
      viewer.replay(past); // without a reset, because it may be the screen of the user's own terminal
      return;
    }
    const { id, command, startedAt } = this.#facts;
    const fresh = viewer.number === 1;
    viewer.event({
      type: "hello",
      terminal: { id, command, started_at: startedAt, fresh },
      viewer: viewer.number,
      size: { cols: this.#size.columns, rows: this.#size.rows },
      framed: true,
    });
    if (!fresh) {
      viewer.replay(Buffer.concat([RESET, past]));
      viewer.event({ type: "replay-end" });
    }
  }

  #activate(viewer: Viewer): void {
    if (viewer.readOnly || viewer === this.#active || !this.#viewers.delete(viewer)) return;
    this.#viewers.add(viewer);
    this.#applySize(viewer.size);
    this.#announceSize();
    this.#announceViewers();
  }

  #applySize(size: WindowSize): void {
    if (size.rows === 0 || size.columns === 0) return;
    this.#program.resize(size);
    this.#size = { rows: size.rows, columns: size.columns };
  }

  #announceSize(): void {
    for (const viewer of this.#viewers) this.#announceSizeTo(viewer);
  }

  #announceSizeTo(viewer: Viewer): void {
    const active = this.#active;
    const { rows, columns: cols } = this.#size;
    viewer.event({ type: "size", cols, rows, yours: viewer === active, name: active?.name ?? "" });
  }

  #announceViewers(): void {
    const active = this.#active;
    const names = this.viewerNames;
    for (const viewer of this.#viewers)
      viewer.event({ type: "viewers", count: names.length, names, answers: viewer === active });
  }

  #output(output: Uint8Array): void {
    this.#parser.push(output);
    this.#scrollback.append(output);
    for (const viewer of this.#viewers) {
      viewer.output(output);
      if (!viewer.hasFallenTooFarBehind) continue;
      this.#events.onViewerError("fell behind the other viewers");
      viewer.stream.destroy();
      this.#leave(viewer);
    }
    this.#pace();
  }

  #input(viewer: Viewer, chunk: Uint8Array): void {
    if (!this.#viewers.has(viewer)) return;
    const { inputs, error } = viewer.input.push(chunk);
    for (const { data, rows, columns, control } of inputs) {
      if (control !== undefined && viewer.framed) this.#control(viewer, control);
      else this.#typed(viewer, data, { rows, columns });
    }
    if (error === undefined) return;
    this.#events.onViewerError(`sent ${error}`);
    viewer.stream.destroy();
    this.#leave(viewer);
  }

  #typed(viewer: Viewer, data: string, size: WindowSize): void {
    if (viewer.readOnly) return;
    if (size.rows !== 0 && size.columns !== 0) {
      viewer.size = size;
      if (viewer === this.#active) {
        this.#applySize(size);
        this.#announceSize();
      } else if (!viewer.framed) this.#activate(viewer);
    }
    if (data === "") return;
    this.#activate(viewer);
    if (this.#program.stream.destroyed || this.#program.stream.writableEnded) return;
    if (this.#program.stream.write(data)) return;
    viewer.pauseInput();
    this.#pace();
  }

  #control(viewer: Viewer, control: TerminalControl): void {
    if (control.type === "ack") {
      viewer.acknowledge(control.bytes);
      this.#pace();
      return;
    }
    if (control.type === "close" && !control.kill) {
      this.#leave(viewer);
      return;
    }
    if (viewer.readOnly) return;
    if (control.type === "focus") this.#activate(viewer);
    else if (control.type === "close") this.#events.onKill();
    else {
      for (const other of [...this.#viewers].filter((one) => one !== viewer)) {
        other.event({ type: "replaced" });
        this.#leave(other);
      }
    }
  }

  #pace(): void {
    const behind = [...this.#viewers].filter(({ isBehind }) => isBehind).length;
    if (behind > 0 && behind === this.#viewers.size) this.#program.stream.pause();
    else this.#program.stream.resume();
  }

  #leave(viewer: Viewer): void {
    const wasActive = viewer === this.#active;
    if (!this.#viewers.delete(viewer)) return;
    if (!viewer.stream.destroyed) this.#finish(viewer.stream);
    this.#pace();
    if (this.#ended) return;
    const next = this.#active;
    if (wasActive && next !== undefined) {
      this.#applySize(next.size);
      this.#announceSize();
    }
    this.#announceViewers();
    if (this.#viewers.size === 0) this.#events.onAttended(false);
  }

  #end({ code, signal }: ProgramExit): void {
    this.#ended = true;
    for (const viewer of this.#viewers) {
      viewer.event({ type: "exit", code: code ?? -1, signal: signal ?? "" });
      this.#finish(viewer.stream);
    }
    this.#viewers.clear();
    this.#events.onEnded();
  }

  /** Sends the rest, then closes; a viewer that does not read it is disconnected. */
  #finish(stream: Duplex): void {
    const forget = this.#schedule(() => stream.destroy(), LAST_OUTPUT_MS);
    stream.once("close", forget);
    stream.resume(); // the peer's end is seen only while reading
    stream.end();
  }
}
