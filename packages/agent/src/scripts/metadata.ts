/** Facts about the workspace that the deployment requests: one script for each, run periodically. */
import { Bell } from "wg-userspace/async/bell";
import type { Logger } from "wg-userspace/base/ports";
import type { Schedule } from "../host/schedule.ts";
import type { SessionUser } from "../host/user.ts";
import { runScript, scriptEnvironment } from "./script-process.ts";

/** The deployment keeps at most this much of a value. */
export const MAX_VALUE_BYTES = 2048;
const MAX_DESCRIPTIONS = 128;
const MIN_INTERVAL_MS = 1_000;
const DEFAULT_TIMEOUT_MS = 5_000;
/** Scripts that run at the same time; the others queue. */
const MAX_RUNNING = 8;

export interface MetadataDescription {
  readonly key: string;
  readonly script: string;
  /** 0 for a single run. */
  readonly intervalMs: number;
  /** 0 for the interval, but at most 5 s. */
  readonly timeoutMs: number;
}

export interface MetadataResult {
  readonly key: string;
  /** Wall clock, ms. */
  readonly collectedAtMs: number;
  readonly value: string;
  /** Empty when the script succeeded. */
  readonly error: string;
}

export interface MetadataOptions {
  /** Runs one script. Never rejects. */
  readonly collect: (
    description: MetadataDescription,
    signal: AbortSignal,
  ) => Promise<Pick<MetadataResult, "value" | "error">>;
  readonly schedule: Schedule;
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly logger: Logger;
}

interface Series {
  readonly description: MetadataDescription;
  readonly cancel: AbortController;
  forget: () => void;
}

/** Runs each description's script at its interval, counted from start to start; a run that takes longer delays the next. */
export class MetadataCollector {
  readonly #options: MetadataOptions;
  readonly #series = new Map<string, Series>();
  readonly #waiting: Series[] = [];
  /** Latest unreported result by key. */
  readonly #results = new Map<string, MetadataResult>();
  #running = 0;
  readonly #changed = new Bell();

  constructor(options: MetadataOptions) {
    this.#options = options;
  }

  /** Resolves at the next result, or rejects with the signal's reason. */
  changed(signal: AbortSignal): Promise<void> {
    return this.#changed.next(signal);
  }

  /** Sets the descriptions to collect from now on. An unchanged description keeps its schedule. */
  update(descriptions: readonly MetadataDescription[]): void {
    if (descriptions.length > MAX_DESCRIPTIONS) {
      this.#options.logger.log("error", "too many metadata descriptions, collecting the first ones", {
        given: descriptions.length,
        collected: MAX_DESCRIPTIONS,
      });
    }
    const wanted = new Map(descriptions.slice(0, MAX_DESCRIPTIONS).map((each) => [each.key, each]));
    for (const [key, series] of this.#series) {
      const next = wanted.get(key);
      if (next !== undefined && same(next, series.description)) wanted.delete(key);
      else this.#end(series);
    }
    for (const description of wanted.values()) {
      const series: Series = { description, cancel: new AbortController(), forget: () => undefined };
      this.#series.set(description.key, series);
      this.#due(series);
    }
  }

  /** The latest unconfirmed result of each key. */
  unreported(): readonly MetadataResult[] {
    return [...this.#results.values()];
  }

  /** The deployment has received these; newer ones stay. */
  confirm(results: readonly MetadataResult[]): void {
    for (const result of results) if (this.#results.get(result.key) === result) this.#results.delete(result.key);
  }

  close(): void {
    for (const series of [...this.#series.values()]) this.#end(series);
  }

  #end(series: Series): void {
    series.forget();
    series.cancel.abort();
    this.#series.delete(series.description.key);
    this.#results.delete(series.description.key);
    const place = this.#waiting.indexOf(series);
    if (place >= 0) this.#waiting.splice(place, 1);
  }

  #due(series: Series): void {
    if (this.#running < MAX_RUNNING) this.#start(series);
    else this.#waiting.push(series);
  }

  #start(series: Series): void {
    const { description, cancel } = series;
    const startedAt = this.#options.now();
    this.#running++;
    void this.#options.collect(description, cancel.signal).then(({ value, error }) => {
      this.#running--;
      if (!cancel.signal.aborted) {
        const endedAt = this.#options.now();
        this.#results.set(description.key, { key: description.key, collectedAtMs: endedAt, value, error });
        this.#changed.ring();
        if (description.intervalMs > 0) {
          const interval = Math.max(MIN_INTERVAL_MS, description.intervalMs);
          // The wall clock may jump, so the wait is limited to one interval.
          const passed = Math.max(0, endedAt - startedAt);
          series.forget = this.#options.schedule(() => this.#due(series), Math.max(0, interval - passed));
        }
      }
      const next = this.#waiting.shift();
      if (next !== undefined) this.#start(next);
    });
  }
}

/** Runs a description's script: its whole output, truncated at the limit, is the value. */
export async function collectMetadata(
  description: MetadataDescription,
  options: {
    readonly user: SessionUser;
    readonly environment: () => Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
): Promise<{ value: string; error: string }> {
  if (description.script.trim() === "") return { value: "", error: "the description has no script" };
  const chunks: Buffer[] = [];
  let length = 0;
  const end = await runScript({
    script: description.script,
    user: options.user,
    environment: scriptEnvironment(options.user, options.environment()),
    timeoutMs: metadataTimeoutMs(description),
    signal: options.signal,
    killGraceMs: 500,
    pipesGraceMs: 500,
    onOutput: (_, chunk) => {
      const taken = chunk.subarray(0, Math.max(0, MAX_VALUE_BYTES - length));
      length += chunk.length;
      if (taken.length > 0) chunks.push(taken);
    },
  });
  const errors = [];
  if (end.how === "timed out") errors.push(`timed out after ${metadataTimeoutMs(description) / 1000} s`);
  else if (end.how === "not started") errors.push(`could not be started: ${end.error}`);
  else if (end.exitCode !== 0) errors.push(`exit code ${end.exitCode}`);
  if (length > MAX_VALUE_BYTES) errors.push(`output cut from ${length} to ${MAX_VALUE_BYTES} bytes`);
  return { value: textOf(Buffer.concat(chunks)), error: errors.join("; ") };
}

export function metadataTimeoutMs({ timeoutMs, intervalMs }: MetadataDescription): number {
  if (timeoutMs > 0) return timeoutMs;
  return intervalMs > 0 ? Math.min(Math.max(intervalMs, MIN_INTERVAL_MS), DEFAULT_TIMEOUT_MS) : DEFAULT_TIMEOUT_MS;
}

/** Drops a character that the truncation split, and a final line break. */
function textOf(bytes: Buffer): string {
  return new TextDecoder().decode(bytes, { stream: true }).trimEnd();
}

function same(a: MetadataDescription, b: MetadataDescription): boolean {
  return a.script === b.script && a.intervalMs === b.intervalMs && a.timeoutMs === b.timeoutMs;
}
