/** Help pages, laid out by oclif from the commands' definitions. Loaded when one is asked for. */
import type { Command, Interfaces } from "@oclif/core";
import { CommandHelp } from "@oclif/core/help";
import troubleshooting from "../../../../docs/troubleshooting.md";
import { wrapWords } from "../base/text.ts";
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { articleOf } from "./article.ts";
import { type CommandTexts, type DefinedFlag, flagTexts, textsOf, usageOf } from "./command-texts.ts";
import { GROUPS, TOPICS } from "./groups.ts";

const TROUBLESHOOTING = "troubleshooting";

type CommandTable = Readonly<Record<string, Command.Class>>;

/** The page of a command, of a topic, or with no words of everything. */
export async function renderHelp(config: Interfaces.Config, words: readonly string[]): Promise<string> {
  const id = words.join(":");
  const commands: CommandTable = await allClasses(config);
  const below = Object.keys(commands)
    .filter((other) => other.startsWith(`${id}:`))
    .sort();
  const page = new Page(config, id, commands);
  const sections = id === "" ? page.root() : commands[id] === undefined ? page.topic(below) : page.explain(below);
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

async function allClasses(config: Interfaces.Config): Promise<CommandTable> {
  const aliases = new Set(config.commands.flatMap((command) => command.aliases));
  const own = config.commands.filter(({ id }) => !aliases.has(id));
  return Object.fromEntries(await Promise.all(own.map(async (command) => [command.id, await command.load()] as const)));
}

/** An article that is no command's: a cause that a diagnosis names. Undefined: there is none of that name. */
export function renderArticle(name: string): string | undefined {
  return articleOf(troubleshooting, TROUBLESHOOTING, name, pageWidth());
}

class Page extends CommandHelp {
  readonly #commands: CommandTable;
  readonly #texts: CommandTexts | undefined;
  readonly #id: string;

  constructor(config: Interfaces.Config, id: string, commands: CommandTable) {
    const command = commands[id];
    super(shownCommand(command, id), config, { maxWidth: pageWidth() } as Interfaces.HelpOptions);
    this.#commands = commands;
    this.#texts = command && textsOf(command);
    this.#id = id;
    // oclif's own compiles every text as a template.
    this.render = filled;
  }

  /** As oclif's, by our measure of text, which needs no tables of emoji. */
  override wrap(body: string, spacing: number = this.indentSpacing): string {
    const columns = this.opts.maxWidth! - spacing;
    return this.render(body)
      .split("\n")
      .flatMap((line) => wrapWords(line, columns))
      .join("\n");
  }

  root(): string[] {
    return [
      "Reach your workspaces: shells, ports and files, on the shortest way there is",
      this.section("USAGE", "$ coder <command> [flags]"),
      ...GROUPS.map(({ title, names }) => this.#list(title, names, (name) => TOPICS[name] ?? this.#summary(name))),
      this.#globalFlags(),
      this.section(
        "LEARN MORE",
        this.wrap(
          '"coder <command> --help" explains a command and its flags; "coder help troubleshooting" what a diagnosis means.',
        ),
      ),
    ];
  }

  topic(below: readonly string[]): string[] {
    return [
      TOPICS[this.#id] ?? "",
      this.section("USAGE", `$ coder ${this.#id} <command> [flags]`),
      this.#list("COMMANDS", below, (id) => this.#summary(id)),
      this.#globalFlags(),
    ];
  }

  explain(below: readonly string[]): string[] {
    return [
      this.#texts!.summary,
      this.generate(),
      below.length === 0 ? "" : this.#list("COMMANDS", below, (id) => this.#summary(id)),
      this.#globalFlags(),
    ];
  }

  protected override usage(): string {
    return this.wrap(`$ coder ${usageOf(this.#texts!, this.#id)}`);
  }

  protected override args(): [string, string][] | undefined {
    const { words } = this.#texts!;
    if (words.length === 0) return undefined;
    return words.map(({ name, required, summary }) => [required ? `<${name}>` : `[${name}]`, summary]);
  }

  /** The summary stands above the page. */
  protected override description(): string | undefined {
    const { description } = this.#texts!;
    return description === undefined ? undefined : this.wrap(description);
  }

  #summary(id: string): string {
    return this.#commands[id]!.summary ?? "";
  }

  #globalFlags(): string {
    const flags = Object.values(shownFlags(GLOBAL_FLAGS))
      .filter(({ hidden }) => hidden !== true)
      .sort((a, b) => Number(a.char === undefined) - Number(b.char === undefined)); // as in the page of a command
    return this.section("GLOBAL FLAGS", this.flags(flags) ?? "");
  }

  #list(title: string, names: readonly string[], summary: (name: string) => string): string {
    const rows = names.map((name): [string, string] => [name.replaceAll(":", " "), summary(name)]);
    return this.section(title, this.renderList(rows, { indentation: 2, spacer: "\n" }));
  }
}

/** The name of the command is all that a text of ours leaves open. */
function filled(text: string): string {
  return text.replaceAll("<%= config.bin %>", "coder");
}

/** As wide as the terminal, within what is pleasant to read. */
function pageWidth(): number {
  return Math.min(110, Math.max(40, process.stdout.columns ?? 80));
}

/** The command as its page shows it: the flags of every command and its other names are left to other pages. */
function shownCommand(command: Command.Class | undefined, id: string): Command.Loadable {
  return {
    id: id.replaceAll(":", " "),
    summary: command?.summary,
    examples: command?.examples ?? [],
    flags: shownFlags((command?.flags ?? {}) as Readonly<Record<string, DefinedFlag>>),
    args: {},
    aliases: [],
    hiddenAliases: [],
    hidden: false,
  } as unknown as Command.Loadable;
}

/** Variables behind the summaries, defaults as a person would type them, and no dots for flags that may be repeated. */
function shownFlags(flags: Readonly<Record<string, DefinedFlag>>): Record<string, Command.Flag.Cached> {
  const shown = flagTexts(flags).map(({ name, env, summary, default: text }) => {
    const flag = flags[name]!;
    const own = { ...flag, name, env: undefined, summary: env === undefined ? summary : `${summary} [$${env}]` };
    return [name, flag.type === "boolean" ? own : { ...own, multiple: false, default: text }];
  });
  return Object.fromEntries(shown) as Record<string, Command.Flag.Cached>;
}
