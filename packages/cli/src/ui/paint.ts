/** Colours on a terminal. `NO_COLOR`, `FORCE_COLOR` and a stream that is no terminal decide, in this order. */
export interface Paint {
  keyword(text: string): string;
  good(text: string): string;
  bad(text: string): string;
  faint(text: string): string;
  /** Lines of a diff. */
  added(text: string): string;
  removed(text: string): string;
  place(text: string): string;
}

const as =
  (code: string) =>
  (text: string): string =>
    text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`;
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
const COLOURS: Paint = {
  keyword: as("1;36"),
  good: as("32"),
  bad: as("33"),
  faint: as("2"),
  added: as("32"),
  removed: as("31"),
  place: as("36"),
};

export function paintFor(
  stream: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Paint {
  if ((environment["NO_COLOR"] ?? "") !== "") return PLAIN;
  const forced = environment["FORCE_COLOR"];
  if (forced !== undefined) return forced === "0" || forced === "false" ? PLAIN : COLOURS;
  return stream.isTTY === true && environment["TERM"] !== "dumb" ? COLOURS : PLAIN;
}
