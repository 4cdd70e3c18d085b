import { forTerminal } from "./line-ends.ts";
import { printableLines } from "./text.ts";

/** Writes one or more lines for the user to stderr, because scripts read stdout. */
export function say(text: string): void {
  process.stderr.write(forTerminal(`${printableLines(text)}\n`));
}
