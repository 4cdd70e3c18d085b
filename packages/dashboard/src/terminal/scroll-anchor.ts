/** Keeps the user's place in the scroll-back when output is shown again from the beginning. */

const ANCHOR_LINES = 3;

/** The last lines of the view, by which it is found again. */
export function anchorOf(lines: readonly string[]): readonly string[] {
  return lines.slice(-ANCHOR_LINES);
}

/** Index of the line after the last occurrence of the anchor; undefined if it does not occur or is blank. */
export function findAnchor(lines: readonly string[], anchor: readonly string[]): number | undefined {
  if (anchor.length === 0 || anchor.every((line) => line.trim() === "")) return undefined;
  for (let at = lines.length - anchor.length; at >= 0; at--)
    if (anchor.every((line, offset) => lines[at + offset] === line)) return at + anchor.length;
  return undefined;
}
