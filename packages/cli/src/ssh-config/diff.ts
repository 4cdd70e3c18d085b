/** A unified diff of two texts that differ in one place, such as an edited section. */

const CONTEXT_LINES = 3;

/** Lines of the diff, without line ends; none when the texts are equal. */
export function unifiedDiff(before: string, after: string, path: string): string[] {
  if (before === after) return [];
  const [old, current] = [linesOf(before), linesOf(after)];
  let head = 0;
  while (head < old.length && head < current.length && old[head] === current[head]) head++;
  let tail = 0;
  while (
    tail < old.length - head &&
    tail < current.length - head &&
    old[old.length - 1 - tail] === current[current.length - 1 - tail]
  )
    tail++;
  const from = Math.max(0, head - CONTEXT_LINES);
  const kept = Math.min(tail, CONTEXT_LINES);
  const range = (lines: readonly string[]): string => {
    const count = lines.length - tail + kept - from;
    return `${count === 0 ? from : from + 1},${count}`;
  };
  return [
    `--- ${path}`,
    `+++ ${path}`,
    `@@ -${range(old)} +${range(current)} @@`,
    ...old.slice(from, head).map((line) => ` ${line}`),
    ...old.slice(head, old.length - tail).map((line) => `-${line}`),
    ...current.slice(head, current.length - tail).map((line) => `+${line}`),
    ...old.slice(old.length - tail, old.length - tail + kept).map((line) => ` ${line}`),
  ];
}

/** A last line without a line end is followed by the customary note. */
function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  else lines[lines.length - 1] += "\n\\ No newline at end of file";
  return lines;
}
