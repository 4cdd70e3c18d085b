/** Ends of lines on a terminal while a session uses it. */
let unchanged = false;

/** Whether a session has the terminal show bytes unchanged. A line feed alone then does not return to the left margin. */
export function showsUnchanged(is: boolean): void {
  unchanged = is;
}

export function forTerminal(lines: string): string {
  return unchanged && process.stderr.isTTY === true ? lines.replaceAll("\n", "\r\n") : lines;
}
