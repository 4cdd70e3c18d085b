import { printableLines } from "./text.ts";

/** A line, or several, for the person: on stderr, so that stdout stays what scripts read. */
export function say(text: string): void {
  process.stderr.write(`${printableLines(text)}\n`);
}
