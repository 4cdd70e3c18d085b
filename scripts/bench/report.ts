/** One figure of a bench, and how it is printed. */
export interface Figure {
  readonly name: string;
  /** Median of the rounds. */
  readonly value: number;
  readonly unit: string;
  /** Every round, in order. */
  readonly rounds: readonly number[];
  /** What `value` should reach; which way round says `better`. */
  readonly target?: number;
  readonly better: "higher" | "lower";
}

/** Two figures of the same run and unit, one divided by the other. */
export interface Ratio {
  readonly name: string;
  readonly value: number;
}

export interface BenchResult {
  readonly figures: readonly Figure[];
  readonly ratios: readonly Ratio[];
  /** What could not be measured on this machine, and what it would need. */
  readonly missing: readonly string[];
  readonly notes: readonly string[];
}

export interface BenchOptions {
  readonly rounds: number;
  /** How long one throughput measurement sends. */
  readonly seconds: number;
  /** Folder for CPU profiles of the processes under test; absent: no profiles. */
  readonly profileFolder?: string;
  readonly progress: (line: string) => void;
}

export type Bench = (options: BenchOptions) => Promise<BenchResult>;

/** Collects the rounds of interleaved measurements, in the order in which the figures first appeared. */
export class Rounds {
  readonly #figures = new Map<
    string,
    { unit: string; better: "higher" | "lower"; target?: number; rounds: number[] }
  >();

  add(name: string, value: number, unit: string, goal: { better: "higher" | "lower"; target?: number }): void {
    let figure = this.#figures.get(name);
    if (figure === undefined) {
      figure = { unit, ...goal, rounds: [] };
      this.#figures.set(name, figure);
    }
    figure.rounds.push(value);
  }

  figures(): Figure[] {
    return Array.from(this.#figures, ([name, figure]) => ({ name, value: median(figure.rounds), ...figure }));
  }

  /** The ratio of two medians; none when either was not measured. */
  ratio(name: string, of: string, to: string): Ratio[] {
    const [dividend, divisor] = [this.#figures.get(of), this.#figures.get(to)];
    if (dividend === undefined || divisor === undefined) return [];
    return [{ name, value: median(dividend.rounds) / median(divisor.rounds) }];
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function formatResult(title: string, result: BenchResult): string {
  const lines = [`── ${title}`];
  const width = Math.max(
    0,
    ...result.figures.map(({ name }) => name.length),
    ...result.ratios.map((r) => r.name.length),
  );
  for (const figure of result.figures) {
    const spread = `(${number(Math.min(...figure.rounds))} … ${number(Math.max(...figure.rounds))}, ${figure.rounds.length} rounds)`;
    lines.push(
      `  ${figure.name.padEnd(width)}  ${number(figure.value).padStart(7)} ${figure.unit} ${spread}${verdict(figure)}`,
    );
  }
  for (const ratio of result.ratios) lines.push(`  ${ratio.name.padEnd(width)}  ${number(ratio.value).padStart(7)} ×`);
  for (const missing of result.missing) lines.push(`  not measured: ${missing}`);
  for (const note of result.notes) lines.push(`  note: ${note}`);
  return `${lines.join("\n")}\n`;
}

function verdict({ value, target, better }: Figure): string {
  if (target === undefined) return "";
  const met = better === "higher" ? value >= target : value <= target;
  return ` target ${better === "higher" ? "≥" : "≤"} ${target}: ${met ? "met" : "MISSED"}`;
}

function number(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value >= 1000 ? Math.round(value).toString() : value.toPrecision(3);
}
