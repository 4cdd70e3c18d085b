/** Colours on a terminal, named by meaning. */
export interface Paint {
  keyword(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  faint(text: string): string;
  /** Lines added or removed in a diff. */
  added(text: string): string;
  removed(text: string): string;
  place(text: string): string;
}

const same = (text: string): string => text;

export const PLAIN: Paint = {
  keyword: same,
  good: same,
  bad: same,
  faint: same,
  added: same,
  removed: same,
  place: same,
};

export interface ColourQuestion {
  /** Set by `--no-color`. */
  readonly refused: boolean;
  /** The stream is a terminal or counts as one. */
  readonly terminal: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Decided by `--no-color`, `NO_COLOR`, `FORCE_COLOR` and the kind of stream, in this order. */
export function hasColours({ refused, terminal, environment }: ColourQuestion): boolean {
  if (refused || (environment["NO_COLOR"] ?? "") !== "") return false;
  const forced = environment["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return terminal && environment["TERM"] !== "dumb";
}
