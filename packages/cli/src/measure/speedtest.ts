/**
 * The measurement behind `coder speedtest`: sends data over one connection to the agent's speed test, in one direction for a
 * while.
 */

import { randomFillSync } from "node:crypto";
import type { Duplex } from "node:stream";
import { onAbort } from "wg-userspace/async/abort";
import { lenderOf } from "wg-userspace/io/sockets/owned-buffers";
import type { SpeedtestInterval, SpeedtestResult } from "../diagnosis/speedtest-text.ts";
import { UserError } from "../errors/user-error.ts";

/** Version of the protocol. */
const VERSION = 2;
/** The agent counts whole blocks, so whole blocks are sent. */
const BLOCK_BYTES = 2 * 1024 * 1024;
/** Sent between two looks at the clock, because a whole block may take many seconds on a slow path. */
const SLICE_BYTES = 64 * 1024;
const INTERVAL_MS = 1_000;
const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 4096;
/** A test may take at most this many times the requested duration. */
const PATIENCE = 4;

export interface SpeedtestRun {
  /** Connection to the agent's speed test; destroyed at the end. */
  readonly stream: Duplex;
  readonly durationMs: number;
  readonly direction: "down" | "up";
  readonly signal: AbortSignal;
  readonly onInterval?: (interval: SpeedtestInterval) => void;
  /** Monotonic milliseconds; default: the clock of the process. */
  readonly now?: () => number;
}

/** Divides a byte count into intervals of at least one second. Each ends with the first bytes that arrive after its second. */
export class IntervalCounter {
  readonly #onInterval: (interval: SpeedtestInterval) => void;
  readonly #intervals: SpeedtestInterval[] = [];
  readonly #startMs: number;
  #lastMs: number;
  #bytes = 0;
  #total = 0;

  constructor(nowMs: number, onInterval: (interval: SpeedtestInterval) => void) {
    this.#startMs = nowMs;
    this.#lastMs = nowMs;
    this.#onInterval = onInterval;
  }

  add(bytes: number, nowMs: number): void {
    this.#bytes += bytes;
    this.#total += bytes;
    if (nowMs - this.#lastMs >= INTERVAL_MS) this.#cut(nowMs);
  }

  finish(nowMs: number): SpeedtestResult {
    if (this.#bytes > 0 && nowMs > this.#lastMs) this.#cut(nowMs);
    return { intervals: this.#intervals, overall: this.#interval(this.#startMs, nowMs, this.#total) };
  }

  #cut(nowMs: number): void {
    const interval = this.#interval(this.#lastMs, nowMs, this.#bytes);
    this.#intervals.push(interval);
    this.#lastMs = nowMs;
    this.#bytes = 0;
    this.#onInterval(interval);
  }

  #interval(fromMs: number, toMs: number, bytes: number): SpeedtestInterval {
    return { startSeconds: (fromMs - this.#startMs) / 1000, endSeconds: (toMs - this.#startMs) / 1000, bytes };
  }
}

/** Runs one test. Rejects with `signal.reason`, or with a UserError that says what the agent did. */
export async function runSpeedtest(run: SpeedtestRun): Promise<SpeedtestResult> {
  const { stream, signal, durationMs } = run;
  const now = run.now ?? (() => performance.now());
  let failure: Error | undefined;
  const fail = (error: Error): void => {
    failure ??= error;
    stream.destroy();
  };
  stream.on("error", (error) => {
    failure ??= brokenOff(error);
  });
  const stopWatching = onAbort(signal, () => fail(signal.reason as Error));
  const slow = setTimeout(() => fail(tooSlow(durationMs)), durationMs * PATIENCE + ANSWER_TIMEOUT_MS);
  try {
    const direction = run.direction === "down" ? 0 : 1;
    stream.write(`${JSON.stringify({ version: VERSION, time: Math.round(durationMs * 1e6), direction })}\n`);
    const early = await readAnswer(stream, fail);
    const counter = new IntervalCounter(now(), run.onInterval ?? (() => undefined));
    if (run.direction === "down") await receive(stream, early, counter, now);
    else await send(stream, durationMs, counter, now);
    if (failure !== undefined) throw failure;
    return counter.finish(now());
  } catch (error) {
    throw failure ?? error;
  } finally {
    clearTimeout(slow);
    stopWatching();
    stream.destroy();
  }
}

/**
 * Reads the agent's line.
 * @returns Test data that arrived with it.
 */
async function readAnswer(stream: Duplex, fail: (error: Error) => void): Promise<Uint8Array> {
  const late = setTimeout(() => fail(noAnswer()), ANSWER_TIMEOUT_MS);
  let bytes = Buffer.alloc(0);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const read = (chunk: Uint8Array): void => {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.includes(0x0a) || bytes.length > MAX_ANSWER_BYTES) resolve();
  };
  const over = (): void => reject(brokenOff(undefined));
  stream.on("data", read);
  stream.once("end", over);
  stream.once("close", over);
  try {
    await promise;
  } finally {
    clearTimeout(late);
    stream.off("data", read);
    stream.off("end", over);
    stream.off("close", over);
    stream.pause();
  }
  const end = bytes.indexOf(0x0a);
  const problem = problemIn(bytes.toString("utf8", 0, end < 0 ? MAX_ANSWER_BYTES : end));
  if (end < 0 || problem !== undefined) {
    throw new UserError("The agent refused the speed test", {
      why: problem ?? "its answer is not one of a speed test",
      code: "ERR_SPEEDTEST_REFUSED",
    });
  }
  return bytes.subarray(end + 1);
}

function problemIn(line: string): string | undefined {
  try {
    const answer: unknown = JSON.parse(line);
    if (typeof answer !== "object" || answer === null) return "its answer is not one of a speed test";
    const error = "error" in answer ? answer.error : undefined;
    return error === undefined || error === "" ? undefined : printable(String(error));
  } catch {
    return "its answer is not one of a speed test";
  }
}

function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

async function receive(stream: Duplex, early: Uint8Array, counter: IntervalCounter, now: () => number): Promise<void> {
  counter.add(early.length, now());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const giveBack = lenderOf(stream);
  stream.on("data", (chunk: Uint8Array) => {
    counter.add(chunk.length, now());
    giveBack?.(chunk);
  });
  stream.once("end", resolve);
  stream.once("close", () => reject(brokenOff(undefined)));
  if (stream.destroyed) reject(brokenOff(undefined));
  stream.resume();
  await promise;
}

/** Ends when the agent has closed too: only then has it received everything. */
async function send(stream: Duplex, durationMs: number, counter: IntervalCounter, now: () => number): Promise<void> {
  const block = randomFillSync(new Uint8Array(BLOCK_BYTES));
  const until = now() + durationMs;
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => undefined); // handled below, unless a write fails first
  stream.once("end", resolve);
  stream.once("close", () => reject(brokenOff(undefined)));
  stream.resume();
  do {
    for (let at = 0; at < BLOCK_BYTES; at += SLICE_BYTES) {
      await write(stream, block.subarray(at, at + SLICE_BYTES));
      counter.add(SLICE_BYTES, now());
    }
  } while (now() < until);
  stream.end();
  await ended;
}

function write(stream: Duplex, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(bytes, (error) => (error === null || error === undefined ? resolve() : reject(brokenOff(error))));
  });
}

function brokenOff(cause: Error | undefined): UserError {
  return new UserError("The connection ended during the speed test", {
    why: cause?.message ?? "the agent closed it",
    next: ["run it again; coder ping shows whether the path is stable"],
    code: "ERR_SPEEDTEST_INTERRUPTED",
    cause,
  });
}

function noAnswer(): UserError {
  return new UserError("The agent did not answer the speed test", {
    why: `no answer within ${ANSWER_TIMEOUT_MS / 1000} s`,
    code: "ERR_SPEEDTEST_REFUSED",
  });
}

function tooSlow(durationMs: number): UserError {
  return new UserError("The speed test did not come to its end", {
    why: `a test of ${durationMs / 1000} s took more than ${PATIENCE} times as long: the path is too slow to be measured, or broken`,
    next: ["coder ping shows how the path does"],
    code: "ERR_SPEEDTEST_INTERRUPTED",
  });
}
