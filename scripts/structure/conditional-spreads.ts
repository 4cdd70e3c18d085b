/** Finds spreads of an expression that may add nothing, such as `x === undefined ? {} : { x }`; reads the code as text. */

/** The lines of `code`, from 1, at which one begins. A spread that chooses between two objects does not count. */
export function conditionalSpreadsIn(code: string): number[] {
  const lines: number[] = [];
  for (let at = code.indexOf("...("); at >= 0; at = code.indexOf("...(", at + 1)) {
    if (mayAddNothing(skeletonOf(code, at + 4))) lines.push(code.slice(0, at).split("\n").length);
  }
  return lines;
}

/** A branch `{}`, and `x && {…}` outside the condition of a choice. */
function mayAddNothing(expression: string): boolean {
  const isChoice = /(?<!\?)\?(?![?.])/.test(expression);
  return isChoice ? /[?:]\s*\{\}/.test(expression) : expression.includes("&&");
}

/** What stands in the parenthesis that opens before `from`, without strings and without what nested brackets contain. */
function skeletonOf(code: string, from: number): string {
  let skeleton = "";
  let depth = 0;
  for (let at = from; at < code.length; at++) {
    const character = code[at]!;
    if (QUOTES.has(character)) at = endOfString(code, at);
    else if (OPENING.has(character)) {
      if (depth++ === 0) skeleton += character;
    } else if (CLOSING.has(character)) {
      if (depth === 0) return skeleton;
      if (--depth === 0) skeleton += character;
    } else if (depth === 0) skeleton += character;
    // `{}` and `{ x }` must differ.
    else if (depth === 1 && /\S/.test(character) && !skeleton.endsWith("…")) skeleton += "…";
  }
  return skeleton;
}

const QUOTES = new Set(['"', "'", "`"]);
const OPENING = new Set(["(", "[", "{"]);
const CLOSING = new Set([")", "]", "}"]);

/** Index of the closing quote. Strings inside `${…}` of a template do not end it, unless they contain a backtick. */
function endOfString(code: string, start: number): number {
  for (let at = start + 1; at < code.length; at++) {
    if (code[at] === "\\") at++;
    else if (code[at] === code[start]) return at;
  }
  return code.length;
}
