/** The manual in Markdown, from the commands' definitions: an index, and a page for each command. */
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { type CommandTexts, type FlagText, flagTexts } from "./command-texts.ts";

/**
 * File names and their texts.
 *
 * @param commands By id: the words joined by colons.
 */
export function commandPages(commands: Readonly<Record<string, CommandTexts>>): Record<string, string> {
  const ids = Object.keys(commands).sort();
  const pages = Object.fromEntries(ids.map((id) => [fileOf(id), page(id, commands[id]!)]));
  const rows = ids.map((id) => `| [\`coder ${words(id)}\`](${fileOf(id)}) | ${commands[id]!.summary} |`);
  return {
    ...pages,
    "README.md": [
      "# coder",
      "",
      "Generated from the commands: `node scripts/generate-docs.ts`.",
      "",
      "| Command | |",
      "|---|---|",
      ...rows,
      "",
      "## Options of every command",
      "",
      ...flagTable(flagTexts(GLOBAL_FLAGS)),
      "",
      "## Exit codes",
      "",
      "| Code | |",
      "|---|---|",
      "| 0 | done |",
      "| 1 | it failed; one sentence on stderr says why, and what to do |",
      "| 2 | the command line is wrong |",
      "| 70 | a bug; a report was written |",
      "| 129, 130, 131, 141, 143 | it died by SIGHUP, SIGINT (Ctrl-C), SIGQUIT, SIGPIPE (its output is not read) or SIGTERM, after cleaning up; 130 also: a question was not answered |",
      "| 255 | `ssh`: the connection was lost, or the program was killed |",
      "| other | `ssh`: the program's own |",
      "",
    ].join("\n"),
  };
}

function page(id: string, command: CommandTexts): string {
  const shown = command.flags.filter(({ hidden }) => hidden !== true);
  const synopsis = [
    `coder ${words(id)}`,
    ...(shown.length === 0 ? [] : ["[options]"]),
    ...command.words.map(({ name, required }) => (required ? `<${name}>` : `[${name}]`)),
    ...(command.takesRest ? ["[…]"] : []),
  ].join(" ");
  const sections: string[] = [`# coder ${words(id)}`, "", `${command.summary}.`, "", "```", synopsis, "```", ""];
  if (command.description !== undefined) sections.push(command.description, "");
  if (command.words.length > 0) {
    sections.push("| Word | |", "|---|---|");
    for (const { name, summary } of command.words) sections.push(`| \`${name}\` | ${cell(summary)} |`);
    sections.push("");
  }
  if (shown.length > 0) sections.push("## Options", "", ...flagTable(shown), "");
  sections.push("The [options of every command](README.md#options-of-every-command) apply too.", "");
  if (command.examples.length > 0) {
    const lines = command.examples.map((example) => example.replaceAll("<%= config.bin %>", "coder"));
    sections.push("## Examples", "", "```sh", ...lines, "```", "");
  }
  return sections.join("\n");
}

function flagTable(specs: readonly FlagText[]): string[] {
  return [
    "| Option | Variable | Default | |",
    "|---|---|---|---|",
    ...specs
      .filter(({ hidden }) => hidden !== true)
      .map((spec) => {
        const value = spec.kind === "boolean" ? "" : ` <${spec.value ?? spec.options?.join("\\|") ?? spec.kind}>`;
        const short = spec.char === undefined ? "" : `\`-${spec.char}\`, `;
        const env = spec.env === undefined ? "" : `\`${spec.env}\``;
        const fallback = spec.default === undefined ? "" : `\`${spec.default}\``;
        return `| ${short}\`--${spec.name}${value}\` | ${env} | ${fallback} | ${cell(spec.summary)} |`;
      }),
  ];
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}

function words(id: string): string {
  return id.replaceAll(":", " ");
}

function fileOf(id: string): string {
  return `${id.replaceAll(":", "-")}.md`;
}
