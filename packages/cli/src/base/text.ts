/** Text for a terminal: what it may contain, how wide it is and where it breaks. Pure. */

/** Control characters (C0, DEL, C1), and characters that invisibly change the writing direction or break lines. */
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const COLOUR = /\u001b\[[0-9;]*m/;
/** Characters that take no column: combining marks, joiners and variation selectors. */
const ZERO_WIDTH = /^(?:\p{Mn}|\p{Me}|\p{Cf})$/u;
/** East Asian wide forms and emoji: two columns. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f6ff}\u{1f900}-\u{1faff}\u{20000}-\u{3fffd}]$/u;

/** One line of foreign text that cannot control the terminal. */
export function printable(text: string): string {
  return text.replace(HOSTILE, "?");
}

/** Like {@link printable}, but line breaks stay. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** Like {@link printable}, but removes hostile characters without a trace. Colours and tabs stay, because programs log them. */
export function printableLog(text: string): string {
  return text
    .split(new RegExp(`(${COLOUR.source}|\\t)`))
    .map((part, index) => (index % 2 === 1 ? part : part.replace(HOSTILE, "")))
    .join("");
}

/** Equivalent JSON that cannot control the terminal. */
export function printableJson(json: string): string {
  return json.replace(HOSTILE, (found) =>
    found === "\n" ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Columns that the text takes on a terminal; colours take none. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text.replace(new RegExp(COLOUR.source, "g"), "")) {
    if (!ZERO_WIDTH.test(character)) width += WIDE.test(character) ? 2 : 1;
  }
  return width;
}

/** Breaks text between words into lines of at most this many columns. A longer word is broken inside. */
export function wrapWords(text: string, columns: number): string[] {
  const limit = Math.max(1, columns);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (displayWidth(longer) <= limit) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    const pieces = cut(word, limit);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? "";
  }
  return [...lines, line];
}

/** Cuts text into pieces of at most this many columns. Colour sequences stay whole. */
export function cut(text: string, columns: number): string[] {
  const pieces: string[] = [];
  let piece = "";
  let width = 0;
  for (const part of text.split(new RegExp(`(${COLOUR.source})`))) {
    if (COLOUR.test(part)) {
      piece += part;
      continue;
    }
    for (const character of part) {
      const own = displayWidth(character);
      if (width + own > columns && width > 0) {
        pieces.push(piece);
        [piece, width] = ["", 0];
      }
      piece += character;
      width += own;
    }
  }
  return [...pieces, piece];
}
