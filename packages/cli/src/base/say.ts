import { printableLines } from "./text.ts";

/** Writes one or more lines for the user to stderr, because scripts read stdout. */
export function say(text: string): void {
  process.stderr.write(forTerminal(`${printableLines(text)}\n`));
}

/** In a session whose terminal shows bytes unchanged, a line feed alone does not return to the left margin. */
export function forTerminal(lines: string): string {
  const { stdin, stderr } = process;
  return stdin.isRaw === true && stderr.isTTY === true ? lines.replaceAll("\n", "\r\n") : lines;
}
