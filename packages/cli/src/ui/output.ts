import { printableJson } from "../base/text.ts";
import { UsageError } from "../errors/usage-error.ts";
import { renderTable } from "./table.ts";

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => string;
  /** Shown without --column. */
  readonly standard?: boolean;
}

/** How to print a listing: `columns` by name, in any case; none means the standard ones. */
export interface ListingChoice {
  readonly output: "table" | "json";
  readonly column?: readonly string[] | undefined;
}

/** Formats rows as chosen. JSON prints `raw`, as the server sent it. */
export function listingText<Row>(
  { output, column = [] }: ListingChoice,
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  raw: unknown,
): string {
  if (output === "json") return jsonText(raw);
  const wanted = column.flatMap((name) => name.split(","));
  const chosen =
    wanted.length === 0
      ? columns.filter((column) => column.standard === true)
      : wanted.map(
          (name) =>
            columns.find((column) => column.name.toLowerCase() === name.trim().toLowerCase()) ?? missing(name, columns),
        );
  return renderTable(
    chosen.map(({ name }) => name.toUpperCase()),
    rows.map((row) => chosen.map(({ value }) => value(row))),
  );
}

/** A response of the deployment, unchanged. */
export function jsonText(value: unknown): string {
  return `${printableJson(JSON.stringify(value, null, 2))}\n`;
}

function missing<Row>(name: string, columns: readonly Column<Row>[]): never {
  throw new UsageError(
    `there is no column "${name}"; the columns are: ${columns.map((column) => column.name).join(", ")}`,
  );
}

/** A time such as "3 minutes ago". */
export function ago(time: string | undefined | null, nowMs: number): string {
  if (time === undefined || time === null || time.startsWith("0001-")) return "never";
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds}s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${Math.floor((seconds % 3600) / 60)}m ago`;
  return `${Math.floor(seconds / 86_400)}d ago`;
}
