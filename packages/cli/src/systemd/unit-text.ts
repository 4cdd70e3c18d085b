/** Text of unit and environment files as systemd reads them (systemd.syntax(7), systemd.exec(5)). Pure. */

import { UsageError } from "../errors/usage-error.ts";

/** No value may begin a new line. */
function refuseControlCharacters(text: string): void {
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw new UsageError(
      `${JSON.stringify(text)} has a line break or another control character, which no unit can hold`,
    );
}

/** A value that is alone on its line, such as a path. */
export function unitValue(text: string): string {
  refuseControlCharacters(text);
  return text.replaceAll("%", "%%");
}

/** The words of a command. Each stays one word whatever it contains; specifiers and variables in it are escaped. */
export function unitCommand([program, ...args]: readonly [string, ...string[]]): string {
  // systemd expands no variables in the first word, where a doubled $ would stay doubled.
  return [unitWord(program), ...args.map((word) => unitWord(word).replaceAll("$", "$$$$"))].join(" ");
}

function unitWord(text: string): string {
  const escaped = unitValue(text).replaceAll("\\", "\\\\");
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('"', '\\"')}"`;
}

/** One line of an environment file. */
export function environmentLine(name: string, value: string): string {
  refuseControlCharacters(value);
  return `${name}="${value.replace(/["\\`$]/g, "\\$&")}"`;
}

/** The file with these variables set; the rest, comments included, stays as it is. */
export function withVariables(file: string, variables: Readonly<Record<string, string>>): string {
  const kept = file.split("\n").filter((line) => !(nameOf(line) in variables));
  while (kept.at(-1) === "") kept.pop();
  const set = Object.entries(variables).map(([name, value]) => environmentLine(name, value));
  return [...kept, ...set, ""].join("\n");
}

/** Whether the file sets the variable to a value that is not empty. */
export function setsVariable(file: string, name: string): boolean {
  return file.split("\n").some((line) => nameOf(line) === name && !/=\s*(""|'')?\s*$/.test(line));
}

function nameOf(line: string): string {
  return /^\s*(\w+)\s*=/.exec(line)?.[1] ?? "";
}
