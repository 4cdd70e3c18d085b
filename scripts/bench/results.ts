/**
 * The last results of the benches, one file each in bench/results, and the table of docs/measurements.md that is
 * generated from them.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type BenchResult,
  digits,
  type Figure,
  meetsTarget,
  type Ratio,
  spread,
  targetText,
  titleOf,
} from "./report.ts";

export interface KeptResult {
  readonly title: string;
  readonly date: string;
  readonly machine: Readonly<Record<string, string | number>>;
  readonly seconds: number;
  readonly result: BenchResult;
}

const BEGIN = "<!-- made by npm run bench: begin -->\n";
const END = "<!-- made by npm run bench: end -->";

export function keep(folder: string, name: string, kept: KeptResult): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(kept, undefined, 1)}\n`);
}

/** Replaces the table in `markdown`. Benches in the order of `names`; those never run are left out. */
export function withTable(markdown: string, folder: string, names: readonly string[]): string {
  const begin = markdown.indexOf(BEGIN);
  const end = markdown.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the marks "${BEGIN.trim()}" and "${END}" are not there`);
  const there = new Set(readdirSync(folder));
  const kept = names
    .filter((name) => there.has(`${name}.json`))
    .map((name) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as KeptResult);
  return `${markdown.slice(0, begin + BEGIN.length)}${table(kept)}${markdown.slice(end)}`;
}

/** A row for every figure that has a target or is compared with another. */
function table(kept: readonly KeptResult[]): string {
  const rows = [
    "| | Median (range) | Target | Ours divided by others of the same run, median (range) |",
    "|---|---|---|---|",
  ];
  for (const { title, result } of kept) {
    const { figures, ratios } = result;
    const shown = figures.filter(({ name, target }) => target !== undefined || ratios.some(({ of }) => of === name));
    if (shown.length > 0) rows.push(`| **${titleOf(title, result)}** | | | |`);
    for (const figure of shown) {
      const compared = ratios.filter(({ of }) => of === figure.name);
      rows.push(row(figure, compared));
    }
  }
  return `${rows.join("\n")}\n`;
}

function row(figure: Figure, ratios: readonly Ratio[]): string {
  const met = meetsTarget(figure);
  const target = met === undefined ? "" : `${targetText(figure)}: ${met ? "met" : "**missed**"}`;
  const compared = ratios.map((ratio) => `${digits(ratio.value)} × ${ratio.to} (${range(ratio.rounds)})`).join("<br>");
  const value = `${digits(figure.value)} ${figure.unit} (${range(figure.rounds)})`;
  return `| ${figure.name} | ${value} | ${target} | ${compared} |`;
}

function range(rounds: readonly number[]): string {
  return spread(rounds).replace(/, \d+ rounds$/, "");
}
