/** One viewer of a terminal, which gets raw bytes, or records with events if it requested them. */
import type { Duplex } from "node:stream";
import { OUTPUT_RESUME_BYTES, OUTPUT_WINDOW_BYTES, type TerminalEvent } from "coder-protocol/terminal/events";
import { EVENT_RECORD, OUTPUT_RECORD, REPLAY_RECORD, toRecords } from "coder-protocol/terminal/records";
import type { WindowSize } from "../../os/terminal-device.ts";
import { InputReader, type TerminalInit } from "./messages.ts";

/** A viewer that falls further behind the fastest one is dropped. */
const MAX_BACKLOG_BYTES = 1024 * 1024;

export type ViewerInit = Pick<TerminalInit, "rows" | "columns" | "userName" | "framed" | "readOnly">;

export class Viewer {
  readonly stream: Duplex;
  /** Unique among the viewers of the terminal, past ones included. */
  readonly number: number;
  readonly name: string;
  readonly framed: boolean;
  readonly readOnly: boolean;
  readonly input = new InputReader();
  /** The size it last requested; 0 in either when unknown. */
  size: WindowSize;
  #sent = 0;
  #acknowledged = 0;
  /** Output sent while acknowledgements could not be read, for which a viewer is not dropped. */
  #unconfirmable = 0;
  #windowFull = false;
  #inputPaused = false;

  constructor(stream: Duplex, number: number, { rows, columns, userName, framed, readOnly }: ViewerInit) {
    this.stream = stream;
    this.number = number;
    this.name = userName;
    this.framed = framed;
    this.readOnly = readOnly;
    this.size = { rows, columns };
  }

  output(output: Uint8Array): void {
    if (!this.framed) {
      this.stream.write(output);
      return;
    }
    this.#count(output);
    this.stream.write(toRecords(OUTPUT_RECORD, output));
  }

  replay(past: Uint8Array): void {
    if (past.length === 0) return;
    if (!this.framed) {
      this.stream.write(past);
      return;
    }
    this.#count(past);
    this.stream.write(toRecords(REPLAY_RECORD, past));
  }

  /** Does nothing for a raw viewer, which could not distinguish an event from output. */
  event(event: TerminalEvent): void {
    if (!this.framed || this.stream.destroyed || this.stream.writableEnded) return;
    this.stream.write(toRecords(EVENT_RECORD, Buffer.from(JSON.stringify(event))));
  }

  /** @param bytes Total output that the viewer has processed. */
  acknowledge(bytes: number): void {
    this.#acknowledged = Math.min(this.#sent, Math.max(this.#acknowledged, bytes));
    if (this.#unacknowledged < OUTPUT_RESUME_BYTES) this.#windowFull = false;
  }

  /** Stops reading input, and with it acknowledgements: until {@link resumeInput} the window does not count. */
  pauseInput(): void {
    this.#inputPaused = true;
    this.stream.pause();
  }

  resumeInput(): void {
    if (this.#inputPaused) this.#unconfirmable = this.#sent;
    this.#inputPaused = false;
    this.stream.resume();
  }

  /**
   * Whether more output would only be queued. A full window does not count while the input is paused: the program may have to
   * print before it takes input again, and the acknowledgements wait behind that input.
   */
  get isBehind(): boolean {
    return this.stream.writableNeedDrain || (this.#windowFull && !this.#inputPaused);
  }

  get hasFallenTooFarBehind(): boolean {
    if (this.stream.writableLength > MAX_BACKLOG_BYTES) return true;
    const unconfirmed = this.#sent - Math.max(this.#acknowledged, this.#unconfirmable);
    return !this.#inputPaused && unconfirmed > OUTPUT_WINDOW_BYTES + MAX_BACKLOG_BYTES;
  }

  get #unacknowledged(): number {
    return this.#sent - this.#acknowledged;
  }

  #count(output: Uint8Array): void {
    this.#sent += output.length;
    if (this.#unacknowledged > OUTPUT_WINDOW_BYTES) this.#windowFull = true;
  }
}
