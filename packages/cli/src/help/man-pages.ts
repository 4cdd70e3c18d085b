/** The manual in roff, for man(1), from the commands' definitions: `coder.1`, and a page for each command. Pure. */
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { type CommandTexts, type FlagText, flagTexts, usageOf } from "./command-texts.ts";

export interface ManualEdition {
  readonly version: string;
  /** For example 2026-01-31. */
  readonly date: string;
}

/**
 * File names and their texts.
 *
 * @param commands By id: the words joined by colons.
 */
export function manPages(
  commands: Readonly<Record<string, CommandTexts>>,
  edition: ManualEdition,
): Record<string, string> {
  const ids = Object.keys(commands).sort();
  const pages = ids.map((id): [string, string] => [`${pageName(id)}.1`, commandPage(id, commands[id]!, ids, edition)]);
  return { "coder.1": rootPage(commands, ids, edition), ...Object.fromEntries(pages) };
}

function rootPage(
  commands: Readonly<Record<string, CommandTexts>>,
  ids: readonly string[],
  edition: ManualEdition,
): string {
  return page([
    ...heading("coder", edition),
    "coder \\- reach your workspaces: shells, ports and files",
    ".SH SYNOPSIS",
    ".B coder",
    ".I command",
    "[flags]",
    ".SH DESCRIPTION",
    "Each command has a page of its own, named by its words, such as",
    ".BR coder\\-port\\-forward (1).",
    ".SH COMMANDS",
    ...ids.flatMap((id) => [".TP", `.BR ${roff(pageName(id))} (1)`, sentence(commands[id]!.summary)]),
    ".SH OPTIONS OF EVERY COMMAND",
    ...options(flagTexts(GLOBAL_FLAGS)),
    ".SH EXIT STATUS",
    ...EXIT_CODES.flatMap(([code, text]) => [".TP", `.B ${roff(code)}`, sentence(text)]),
  ]);
}

const EXIT_CODES = [
  ["0", "Done"],
  ["1", "It failed; one sentence on stderr says why, and what to do"],
  ["2", "The command line is wrong"],
  ["70", "A bug; a report was written"],
  ["129, 130, 131, 141, 143", "It died by SIGHUP, SIGINT, SIGQUIT, SIGPIPE or SIGTERM, after cleaning up"],
  ["255", "coder ssh: the connection was lost, or the program was killed"],
] as const;

function commandPage(id: string, command: CommandTexts, ids: readonly string[], edition: ManualEdition): string {
  const name = pageName(id);
  const topic = id.split(":")[0]!;
  const others = ids.filter((other) => other !== id && other.split(":")[0] === topic).map(pageName);
  const shown = command.flags.filter(({ hidden }) => hidden !== true);
  return page([
    ...heading(name, edition),
    `${roff(name)} \\- ${roff(lowerFirst(command.summary))}`,
    ".SH SYNOPSIS",
    `.B ${roff(`coder ${usageOf(command, id)}`)}`,
    ".SH DESCRIPTION",
    sentence(command.description ?? command.summary),
    ...(command.words.length === 0 ? [] : [".SH ARGUMENTS"]),
    ...command.words.flatMap((word) => [".TP", `.I ${roff(word.name)}`, sentence(word.summary)]),
    ...(shown.length === 0 ? [] : [".SH OPTIONS", ...options(shown)]),
    ".PP",
    "The options of every command are in",
    ".BR coder (1).",
    ".SH EXAMPLES",
    ".EX",
    ...command.examples.map((example) => roff(example.replaceAll("<%= config.bin %>", "coder"))),
    ".EE",
    ".SH SEE ALSO",
    ...["coder", ...others].map((other, at) => `.BR ${roff(other)} (1)${at === others.length ? "" : ","}`),
  ]);
}

function options(specs: readonly FlagText[]): string[] {
  return specs
    .filter(({ hidden }) => hidden !== true)
    .flatMap((spec) => {
      const short = spec.char === undefined ? "" : `\\fB\\-${spec.char}\\fR, `;
      const value = spec.value ?? spec.options?.join("|") ?? spec.kind;
      const shown = spec.kind === "boolean" ? "" : ` \\fI${roff(value)}\\fR`;
      const env = spec.env === undefined ? [] : [`Variable: ${roff(spec.env)}.`];
      const fallback = spec.default === undefined ? [] : [`Default: ${roff(spec.default)}.`];
      return [".TP", `${short}\\fB${roff(`--${spec.name}`)}\\fR${shown}`, sentence(spec.summary), ...env, ...fallback];
    });
}

function heading(name: string, { version, date }: ManualEdition): string[] {
  return [`.TH ${roff(name.toUpperCase())} 1 ${date} "coder ${roff(version)}" "Manual of coder"`, ".ad l", ".SH NAME"];
}

function page(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

/** Escapes text so that roff prints it literally: no escapes, and no line that is a request. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^[.']/gm, "\\&$&")
    .replace(/,(?=\S)/g, ",\\:") // a long list may be broken here
    .replaceAll("…", "...");
}

function sentence(text: string): string {
  return roff(/[.!?]$/.test(text) ? text : `${text}.`);
}

/** Lowers the first letter of "Run it", but not of "SSH options". */
function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text[0]!.toLowerCase() + text.slice(1) : text;
}

function pageName(id: string): string {
  return `coder-${id.replaceAll(":", "-")}`;
}
