import { displayWidth, printable, wrapWords } from "../base/text.ts";

export interface TableOptions {
  /** Changes how a cell looks, not how wide it is. */
  readonly paint?: (cell: string, column: number) => string;
}

/** A plain table: columns padded with blanks, two between them, and nothing else that a script would have to strip. */
export function renderTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const lines = [headers, ...rows].map((row) => row.map(printable));
  const widths = headers.map((_, column) => Math.max(...lines.map((line) => displayWidth(line[column] ?? ""))));
  return lines
    .map((line, index) => {
      const last = line.findLastIndex((cell) => cell !== "");
      return line
        .slice(0, last + 1)
        .map((cell, column) => {
          const shown = index === 0 || options.paint === undefined ? cell : options.paint(cell, column);
          return column === last ? shown : shown + " ".repeat(widths[column]! - displayWidth(cell));
        })
        .join("  ");
    })
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}

/** A table, or, if that would be wider than the terminal, a block with one line per cell for each row. */
export function renderFitting(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number = process.stdout.columns ?? Number.POSITIVE_INFINITY,
): string {
  const table = renderTable(headers, rows);
  if (table.split("\n").every((line) => displayWidth(line) <= columns)) return table;
  const indent = Math.max(...headers.map(displayWidth)) + 2;
  const blocks = rows.map((row) =>
    headers
      .flatMap((header, column) => {
        const cell = printable(row[column] ?? "");
        if (cell === "") return [];
        const [first = "", ...more] = wrapWords(cell, columns - indent);
        return [header.padEnd(indent) + first, ...more.map((line) => " ".repeat(indent) + line)];
      })
      .map((line) => `${line}\n`)
      .join(""),
  );
  return blocks.join("\n");
}
