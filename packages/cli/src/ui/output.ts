import type { ParsedLine } from "../flags/parse.ts";
import type { FlagSpec } from "../flags/spec.ts";
import { UsageError } from "../flags/spec.ts";
import { renderTable } from "./table.ts";
import { printableJson } from "./text.ts";

/** `--output table|json`, `--column a,b` of every listing command. */
export const OUTPUT_FLAGS: readonly FlagSpec[] = [
  {
    name: "output",
    char: "o",
    kind: "string",
    options: ["table", "json"],
    default: "table",
    summary: "Print a table or JSON",
  },
  {
    name: "column",
    char: "c",
    kind: "list",
    value: "name",
    summary: "Columns of the table; may be given several times",
  },
];

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => string;
  /** Shown without --column. */
  readonly standard?: boolean;
}

/** Prints rows the way the flags ask. JSON is `raw`, as the server sent it. */
export function printListing<Row>(
  line: ParsedLine,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  raw: unknown,
): void {
  if (line.values["output"] === "json") {
    printJson(raw);
    return;
  }
  const wanted = ((line.values["column"] as readonly string[] | undefined) ?? []).flatMap((name) => name.split(","));
  const chosen =
    wanted.length === 0
      ? columns.filter((column) => column.standard === true)
      : wanted.map(
          (name) =>
            columns.find((column) => column.name.toLowerCase() === name.trim().toLowerCase()) ?? missing(name, columns),
        );
  process.stdout.write(
    renderTable(
      chosen.map((column) => column.name.toUpperCase()),
      rows.map((row) => chosen.map((column) => column.value(row))),
    ),
  );
}

export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
}

function missing<Row>(name: string, columns: readonly Column<Row>[]): never {
  throw new UsageError(`there is no column "${name}"; there are: ${columns.map((column) => column.name).join(", ")}`);
}

/** "3 minutes ago" for people. */
export function ago(time: string | undefined | null, nowMs: number): string {
  if (time === undefined || time === null || time.startsWith("0001-")) return "never";
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}
