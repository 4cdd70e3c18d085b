/**
 * Our section of an SSH configuration file, between two marker lines. Files are handled as one character per byte, so that
 * everything else in them survives unchanged in any encoding.
 */
import { UserError } from "../errors/user-error.ts";

export interface Markers {
  readonly start: string;
  readonly end: string;
}

/**
 * The marker lines. Without a name they are those of a stock CLI, so each replaces the other's section; a name makes a separate
 * section.
 */
export function sectionMarkers(name: string | undefined): Markers {
  const label = name === undefined ? "" : `-${name}`;
  return { start: `# ------------START-CODER${label}-----------`, end: `# ------------END-CODER${label}------------` };
}

export interface SplitFile {
  readonly before: string;
  /** The marker lines and the text between them; undefined when there is no section. */
  readonly section: string | undefined;
  readonly after: string;
}

/** Throws a UserError unless there is at most one pair of markers, in order: the extent of the section would be unknown. */
export function splitSection(file: string, markers: Markers, path: string): SplitFile {
  const starts = linesEqual(file, markers.start);
  const ends = linesEqual(file, markers.end);
  const [start, end] = [starts[0], ends[0]];
  if (start === undefined && end === undefined) return { before: file, section: undefined, after: "" };
  const fault =
    starts.length > 1
      ? `the line "${markers.start}" is there ${starts.length} times`
      : ends.length > 1
        ? `the line "${markers.end}" is there ${ends.length} times`
        : start === undefined
          ? `the line "${markers.end}" is there without its beginning`
          : end === undefined
            ? `the line "${markers.start}" is there without its end`
            : start.from > end.from
              ? "the line that ends coder's section is before the one that begins it"
              : undefined;
  if (fault !== undefined || start === undefined || end === undefined) {
    throw new UserError(`Coder's section of "${path}" is damaged, the file was not changed`, {
      why: fault,
      next: ["remove the rest of that section, with its marker lines, and run this again"],
      code: "ERR_SSH_CONFIG_DAMAGED",
    });
  }
  return { before: file.slice(0, start.from), section: file.slice(start.from, end.to), after: file.slice(end.to) };
}

/** The file with this section instead of the old one, or added at its end. */
export function withSection({ before, section, after }: SplitFile, replacement: string): string {
  if (section !== undefined) return `${before}${replacement}${after}`;
  const gap = before === "" ? "" : before.endsWith("\n\n") ? "" : before.endsWith("\n") ? "\n" : "\n\n";
  return `${before}${gap}${replacement}`;
}

/** The positions of lines with exactly this text, line ends included. Trailing blanks are ignored. */
function linesEqual(file: string, text: string): { readonly from: number; readonly to: number }[] {
  const found: { from: number; to: number }[] = [];
  for (let from = file.indexOf(text); from >= 0; from = file.indexOf(text, from + text.length)) {
    const atLineStart = from === 0 || file[from - 1] === "\n";
    const newline = file.indexOf("\n", from);
    const to = newline < 0 ? file.length : newline + 1;
    if (atLineStart && file.slice(from + text.length, to).trim() === "") found.push({ from, to });
  }
  return found;
}
