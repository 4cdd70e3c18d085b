/** The words, table and JSON of `coder speedtest`. */
import { UsageError } from "../errors/usage-error.ts";
import { renderTable } from "../ui/table.ts";

/** Seconds since the start of the test. */
export interface SpeedtestInterval {
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly bytes: number;
}

export interface SpeedtestResult {
  readonly intervals: readonly SpeedtestInterval[];
  readonly overall: SpeedtestInterval;
}

const COLUMNS: Readonly<Record<string, (interval: SpeedtestInterval) => string>> = {
  Interval: ({ startSeconds, endSeconds }) => `${startSeconds.toFixed(2)}-${endSeconds.toFixed(2)} sec`,
  Throughput: (interval) => `${megabits(interval).toFixed(4)} Mbits/sec`,
};

/** Checks column names, in any case and possibly several in one word, separated by commas; none means all. Throws UsageError. */
export function speedtestColumns(wanted: readonly string[]): readonly string[] {
  const all = Object.keys(COLUMNS);
  const names = wanted.flatMap((text) => text.split(",")).map((name) => name.trim());
  if (names.length === 0) return all;
  return names.map((name) => {
    const found = all.find((column) => column.toLowerCase() === name.toLowerCase());
    if (found === undefined) throw new UsageError(`there is no column "${name}"; the columns are: ${all.join(", ")}`);
    return found;
  });
}

/** One row per interval, a line, and a row for the whole test. */
export function speedtestTable(result: SpeedtestResult, columns: readonly string[]): string {
  const rows = [...result.intervals, result.overall].map((interval) => columns.map((name) => COLUMNS[name]!(interval)));
  const lines = renderTable(
    columns.map((name) => name.toUpperCase()),
    rows,
  )
    .trimEnd()
    .split("\n");
  const width = Math.max(...lines.map((line) => line.length));
  return `${[...lines.slice(0, -1), "-".repeat(width), ...lines.slice(-1)].join("\n")}\n`;
}

export function speedtestJson({ overall, intervals }: SpeedtestResult): unknown {
  return { overall: intervalJson(overall), intervals: intervals.map(intervalJson) };
}

/** What is shown while the test runs. */
export function progressLine(interval: SpeedtestInterval, durationMs: number, path: string): string {
  const seconds = Math.min(interval.endSeconds, durationMs / 1000);
  return `${seconds.toFixed(0)} of ${durationMs / 1000} s  ${megabits(interval).toFixed(1)} Mbits/sec  ${path}`;
}

/** In units of 10^6 bits per second; 0 for an empty interval. */
export function megabits({ startSeconds, endSeconds, bytes }: SpeedtestInterval): number {
  const seconds = endSeconds - startSeconds;
  return seconds > 0 ? (bytes * 8) / 1e6 / seconds : 0;
}

function intervalJson(interval: SpeedtestInterval): unknown {
  return {
    start_time_seconds: interval.startSeconds,
    end_time_seconds: interval.endSeconds,
    throughput_mbits: megabits(interval),
  };
}
