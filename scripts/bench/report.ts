/** One figure of a bench, and how it is printed. */
export interface Figure {
  readonly name: string;
  /** Median of the rounds. */
  readonly value: number;
  readonly unit: string;
  /** Every round, in order. */
  readonly rounds: readonly number[];
  /** Target for `value`; `better` gives the direction. */
  readonly target?: number | undefined;
  readonly better: "higher" | "lower";
}

/** Two figures of the same run and unit, one divided by the other. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
  /** Median of the rounds. */
  readonly value: number;
  /** The quotient of every round: its two measurements were taken next to each other. */
  readonly rounds: readonly number[];
}

export interface BenchResult {
  /** How large what was measured is, where that can be chosen, such as "1000 agents and 1000 clients". */
  readonly scale?: string | undefined;
  readonly figures: readonly Figure[];
  readonly ratios: readonly Ratio[];
  /** What could not be measured on this machine, and what is missing for it. */
  readonly missing: readonly string[];
  readonly notes: readonly string[];
}

export interface BenchOptions {
  readonly rounds: number;
  /** Duration of one throughput measurement. */
  readonly seconds: number;
  /** Folder for CPU profiles of the processes under test; without it there are none. */
  readonly profileFolder?: string | undefined;
  /** Size of one bulk transfer of a command, in MB. */
  readonly megabytes: number;
  /** Only rows whose name contains this are measured, by benches that know rows. */
  readonly rows: string;
  /** Agents, and as many clients, of the case "cluster". */
  readonly peers: number;
  /** Another checkout, built, whose command is measured in the same rounds. */
  readonly beside?: string | undefined;
  readonly progress: (line: string) => void;
}

export type Bench = (options: BenchOptions) => Promise<BenchResult>;

/** Collects the rounds of interleaved measurements, in the order in which the figures first appeared. */
export class Rounds {
  readonly #figures = new Map<
    string,
    { unit: string; better: "higher" | "lower"; target?: number | undefined; rounds: number[] }
  >();

  add(
    name: string,
    value: number,
    unit: string,
    goal: { better: "higher" | "lower"; target?: number | undefined },
  ): void {
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

  /** The figure divided by each of the others, round by round. Those with a different number of rounds are left out. */
  against(of: string, ...others: readonly string[]): Ratio[] {
    const dividends = this.#figures.get(of)?.rounds ?? [];
    return others.flatMap((to) => {
      const divisors = this.#figures.get(to)?.rounds ?? [];
      if (dividends.length === 0 || dividends.length !== divisors.length) return [];
      const rounds = dividends.map((dividend, i) => dividend / divisors[i]!);
      return [{ of, to, value: median(rounds), rounds }];
    });
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** @param share 0.5: the median, 0.99: what 1 of 100 exceeds. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** With its scale. */
export function titleOf(title: string, { scale }: BenchResult): string {
  return scale === undefined ? title : `${title}: ${scale}`;
}

export function formatResult(title: string, result: BenchResult): string {
  const lines = [`── ${titleOf(title, result)}`];
  const width = Math.max(0, ...result.figures.map(({ name }) => name.length));
  for (const figure of result.figures) {
    const { name, value, unit, rounds } = figure;
    lines.push(`  ${name.padEnd(width)}  ${digits(value).padStart(7)} ${unit}  (${spread(rounds)})${verdict(figure)}`);
    for (const ratio of result.ratios.filter(({ of }) => of === name)) {
      lines.push(`  ${"".padEnd(width)}  ${digits(ratio.value).padStart(7)} × ${ratio.to}  (${spread(ratio.rounds)})`);
    }
  }
  for (const missing of result.missing) lines.push(`  not measured: ${missing}`);
  for (const note of result.notes) lines.push(`  note: ${note}`);
  return `${lines.join("\n")}\n`;
}

/** Smallest and largest round, and how many there were. */
export function spread(rounds: readonly number[]): string {
  return rounds.length === 1
    ? "1 round"
    : `${digits(Math.min(...rounds))} … ${digits(Math.max(...rounds))}, ${rounds.length} rounds`;
}

/** Whether a figure reaches its target; undefined without one. */
export function meetsTarget({ value, target, better }: Figure): boolean | undefined {
  if (target === undefined) return undefined;
  return better === "higher" ? value >= target : value <= target;
}

/** The target as text, such as "≥ 1". */
export function targetText({ target, better }: Figure): string {
  return target === undefined ? "" : `${better === "higher" ? "≥" : "≤"} ${target}`;
}

function verdict(figure: Figure): string {
  const met = meetsTarget(figure);
  return met === undefined ? "" : `  target ${targetText(figure)}: ${met ? "met" : "MISSED"}`;
}

/** Formats with three significant digits. */
export function digits(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Math.abs(value) >= 1000 ? Math.round(value).toString() : value.toPrecision(3);
}
