/** Script output on its way to the deployment. Has no timers and no connection: a sender takes batches and confirms them. */
import { Bell } from "wg-userspace/async/bell";
import type { LogLevel } from "wg-userspace/base/ports";

/** Keeps a request well below the protocol's frame size; the deployment keeps about this much in total. */
const MAX_BATCH_BYTES = 1024 * 1024;
const MAX_BATCH_LINES = 1_000;
const MAX_QUEUED_BYTES = 1024 * 1024;
/** Estimate for a line's source, time, level and place in the queue. */
const LINE_OVERHEAD_BYTES = 32;

export interface ScriptLogLine {
  /** Wall clock, ms. */
  readonly atMs: number;
  readonly level: LogLevel;
  readonly output: string;
}

export interface ScriptLogBatch {
  /** UUID. */
  readonly sourceId: string;
  readonly lines: readonly ScriptLogLine[];
}

interface Queue {
  lines: ScriptLogLine[];
  /** Lines dropped because the queue was full. */
  missed: number;
}

/**
 * Lines per source, oldest first. Bounded: while it is full, new lines of a source are dropped, and a later line reports how
 * many. A batch leaves the queue only when it is confirmed, so after a lost connection it is sent again; if only the answer was
 * lost, the deployment has it twice.
 */
export class ScriptLogs {
  readonly #sources = new Map<string, Queue>();
  readonly #maxQueuedBytes: number;
  #bytes = 0;
  #full = false;
  readonly #changed = new Bell();

  constructor(options: { readonly maxQueuedBytes?: number } = {}) {
    this.#maxQueuedBytes = options.maxQueuedBytes ?? MAX_QUEUED_BYTES;
  }

  /** The deployment accepts no more output of this workspace. */
  get limitExceeded(): boolean {
    return this.#full;
  }

  get isEmpty(): boolean {
    return this.#sources.size === 0;
  }

  /** Resolves at the next line, or rejects with the signal's reason. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.next(signal);
  }

  add(sourceId: string, line: ScriptLogLine): void {
    if (this.#full) return;
    const queue = this.#sources.get(sourceId) ?? { lines: [], missed: 0 };
    this.#sources.set(sourceId, queue);
    const bytes = cost(line);
    if (queue.missed > 0 || this.#bytes + bytes > this.#maxQueuedBytes) queue.missed++;
    else {
      queue.lines.push(line);
      this.#bytes += bytes;
    }
    this.#changed.ring();
  }

  /** The next lines of the source that has waited longest; the same batch again until it is confirmed. */
  next(): ScriptLogBatch | undefined {
    const [first] = this.#sources;
    if (first === undefined) return undefined;
    const [sourceId, { lines }] = first;
    let bytes = 0;
    const end = lines.findIndex((line, index) => {
      bytes += cost(line);
      return index > 0 && (index >= MAX_BATCH_LINES || bytes > MAX_BATCH_BYTES);
    });
    return { sourceId, lines: end < 0 ? [...lines] : lines.slice(0, end) };
  }

  /** The deployment has received the batch. */
  confirm(batch: ScriptLogBatch, answer: { readonly limitExceeded: boolean; readonly nowMs: number }): void {
    if (answer.limitExceeded) {
      this.#full = true;
      this.#bytes = 0;
      this.#sources.clear();
      return;
    }
    const queue = this.#sources.get(batch.sourceId);
    if (queue === undefined) return;
    for (const line of queue.lines.splice(0, batch.lines.length)) this.#bytes -= cost(line);
    this.#sources.delete(batch.sourceId);
    // The source moves to the end of the queue if it has more lines.
    if (queue.lines.length > 0 || queue.missed > 0) this.#sources.set(batch.sourceId, queue);
    for (const source of this.#sources.values()) this.#reportMissed(source, answer.nowMs);
  }

  #reportMissed(queue: Queue, atMs: number): void {
    if (queue.missed === 0) return;
    const output = `… ${queue.missed} lines left out: they came faster than the deployment accepted them; the log file has them`;
    const line: ScriptLogLine = { atMs, level: "warn", output };
    queue.lines.push(line);
    this.#bytes += cost(line);
    queue.missed = 0;
  }
}

function cost(line: ScriptLogLine): number {
  // A UTF-16 unit takes at most 3 bytes of UTF-8, so this is never too small.
  return line.output.length * 3 + LINE_OVERHEAD_BYTES;
}

/** Splits a stream of bytes into lines of text, and overlong lines into pieces. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new TextDecoder();
  #rest = "";

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Uint8Array): void {
    this.#take(this.#decoder.decode(chunk, { stream: true }));
  }

  /** The stream has ended: a last line needs no line break. */
  end(): void {
    this.#take(this.#decoder.decode());
    if (this.#rest !== "") this.#onLine(this.#rest);
    this.#rest = "";
  }

  #take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) for (const piece of pieces(line.replace(/\r$/, ""))) this.#onLine(piece);
    while (this.#rest.length > MAX_LINE_CHARACTERS) {
      this.#onLine(this.#rest.slice(0, MAX_LINE_CHARACTERS));
      this.#rest = this.#rest.slice(MAX_LINE_CHARACTERS);
    }
  }
}

const MAX_LINE_CHARACTERS = 16 * 1024;

function* pieces(line: string): Generator<string> {
  yield line.slice(0, MAX_LINE_CHARACTERS);
  for (let start = MAX_LINE_CHARACTERS; start < line.length; start += MAX_LINE_CHARACTERS)
    yield line.slice(start, start + MAX_LINE_CHARACTERS);
}
