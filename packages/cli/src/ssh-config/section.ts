/**
 * Our section of an SSH configuration file, between two marker lines. A file is handled as one byte a character, so that
 * whatever else is in it, in whatever encoding, comes out as it went in.
 */
import { UserError } from "../errors/user-error.ts";

export interface Markers {
  readonly start: string;
  readonly end: string;
}

/**
 * The marker lines. Without a name they are those of a stock CLI, which replaces our section as we replace its; a name makes
 * a section of its own, beside others.
 */
export function sectionMarkers(name: string | undefined): Markers {
  const label = name === undefined ? "" : `-${name}`;
  return { start: `# ------------START-CODER${label}-----------`, end: `# ------------END-CODER${label}------------` };
}

export interface SplitFile {
  readonly before: string;
  /** The markers' lines and what is between them; undefined when there is no section. */
  readonly section: string | undefined;
  readonly after: string;
}

/** Throws UserError when the markers are not exactly one pair in order: the extent of the section is then unknown. */
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

/** The file with this section in the place of the old one, or at its end. */
export function withSection({ before, section, after }: SplitFile, replacement: string): string {
  if (section !== undefined) return `${before}${replacement}${after}`;
  const gap = before === "" ? "" : before.endsWith("\n\n") ? "" : before.endsWith("\n") ? "\n" : "\n\n";
  return `${before}${gap}${replacement}`;
}

/** Where lines with exactly this text are, their line ends included. Blanks behind it do not count. */
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
