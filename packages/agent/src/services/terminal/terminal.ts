import type { Duplex } from "node:stream";
import type { Pty } from "../../host/pty.ts";
import type { Schedule } from "../../host/schedule.ts";
import type { WindowSize } from "../../os/terminal-device.ts";
import { InputReader } from "./messages.ts";
import { Scrollback } from "./scrollback.ts";

/**
 * How far a viewer may fall behind the fastest one before it is dropped; when it reconnects, it gets the scroll-back.
 */
const MAX_BACKLOG_BYTES = 1024 * 1024;
const MAX_VIEWERS = 32;
/** A viewer that does not read the last output after the program's end is disconnected after this time. */
const LAST_OUTPUT_MS = 10_000;

/** A program on a terminal: {@link Pty}, or a test double. */
export type TerminalProgram = Pick<Pty, "pid" | "exited" | "resize" | "close"> & { readonly stream: Duplex };

export interface TerminalEvents {
  /** The last viewer left, or the first one came. */
  onAttended(attended: boolean): void;
  onViewerError(error: string): void;
  /** The program has ended and its viewers are being disconnected. */
  onEnded(): void;
}

interface Viewer {
  readonly stream: Duplex;
  readonly input: InputReader;
}

/**
 * One program with any number of viewers. All see the same output and may type; the last size that any viewer set
 * applies. The fastest viewer sets the pace: the program waits while all of them are behind, and one that is 1 MiB
 * behind the others is dropped. Without viewers the program runs on unhindered.
 */
export class Terminal {
  readonly #program: TerminalProgram;
  readonly #events: TerminalEvents;
  readonly #schedule: Schedule;
  readonly #scrollback = new Scrollback();
  readonly #viewers = new Set<Viewer>();
  #user: string;
  #ended = false;

  /** @param user Its owner; empty: a client with a tunnel of its own created it. */
  constructor(program: TerminalProgram, user: string, schedule: Schedule, events: TerminalEvents) {
    this.#program = program;
    this.#user = user;
    this.#events = events;
    this.#schedule = schedule;
    program.stream.on("data", (output: Uint8Array) => this.#output(output));
    program.stream.on("drain", () => {
      for (const viewer of this.#viewers) viewer.stream.resume();
    });
    void program.exited.then(() => this.#end());
  }

  get pid(): number {
    return this.#program.pid;
  }

  /**
   * A terminal belongs to the first user whom the server connects, and is shown to no other. A client with a tunnel of
   * its own has no name here, but it has a shell of the same account by SSH anyway: for it the id is enough.
   */
  belongsTo(user: string): boolean {
    if (this.#user === "") this.#user = user;
    return user === "" || this.#user === user;
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /**
   * Shows the terminal on a stream, which it owns from now on, the scroll-back first.
   * @param first Input that came with the request.
   * @returns false when there are too many viewers; the stream then still belongs to the caller.
   */
  attach(stream: Duplex, size: WindowSize, first: Uint8Array): boolean {
    if (this.#viewers.size >= MAX_VIEWERS || this.#ended) return false;
    const viewer: Viewer = { stream, input: new InputReader() };
    const leave = (): void => this.#leave(viewer);
    stream.on("error", leave);
    stream.on("close", leave);
    stream.on("end", leave);
    stream.on("drain", () => this.#pace());
    this.#resize(size);
    const past = this.#scrollback.replay();
    if (past.length > 0) stream.write(past);
    this.#viewers.add(viewer);
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

  #output(output: Uint8Array): void {
    this.#scrollback.append(output);
    for (const viewer of this.#viewers) {
      viewer.stream.write(output);
      if (viewer.stream.writableLength <= MAX_BACKLOG_BYTES) continue;
      this.#events.onViewerError("fell behind the other viewers");
      viewer.stream.destroy();
      this.#leave(viewer);
    }
    this.#pace();
  }

  #input(viewer: Viewer, chunk: Uint8Array): void {
    if (!this.#viewers.has(viewer)) return;
    const { inputs, error } = viewer.input.push(chunk);
    for (const { data, rows, columns } of inputs) {
      this.#resize({ rows, columns });
      if (data === "" || this.#program.stream.destroyed || this.#program.stream.writableEnded) continue;
      if (!this.#program.stream.write(data)) viewer.stream.pause();
    }
    if (error === undefined) return;
    this.#events.onViewerError(`sent ${error}`);
    viewer.stream.destroy();
    this.#leave(viewer);
  }

  #resize(size: WindowSize): void {
    if (size.rows !== 0 && size.columns !== 0) this.#program.resize(size);
  }

  #pace(): void {
    const behind = [...this.#viewers].filter(({ stream }) => stream.writableNeedDrain).length;
    if (behind > 0 && behind === this.#viewers.size) this.#program.stream.pause();
    else this.#program.stream.resume();
  }

  #leave(viewer: Viewer): void {
    if (!this.#viewers.delete(viewer)) return;
    if (!viewer.stream.destroyed) this.#finish(viewer.stream);
    this.#pace();
    if (this.#viewers.size === 0 && !this.#ended) this.#events.onAttended(false);
  }

  #end(): void {
    this.#ended = true;
    for (const { stream } of this.#viewers) this.#finish(stream);
    this.#viewers.clear();
    this.#events.onEnded();
  }

  /** Sends what is left, then closes; a viewer that does not read it is disconnected. */
  #finish(stream: Duplex): void {
    const forget = this.#schedule(() => stream.destroy(), LAST_OUTPUT_MS);
    stream.once("close", forget);
    stream.resume(); // the peer's end is seen only while reading
    stream.end();
  }
}
