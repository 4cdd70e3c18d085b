/** Help pages, laid out by oclif from the commands' definitions. Loaded only when a page is requested. */
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

/** The page of a command or a topic; without words, the root page. */
export async function renderHelp(config: Interfaces.Config, words: readonly string[]): Promise<string> {
  const id = words.join(":");
  const below = config.commandIDs.filter((other) => other.startsWith(`${id}:`)).sort();
  const commands = await classesOf(config, id === "" ? summarized() : [id, ...below]);
  const page = new Page(config, id, commands);
  const sections = id === "" ? page.root() : commands[id] === undefined ? page.topic(below) : page.explain(below);
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** Those that the page is about: loading all takes as long as everything else. */
async function classesOf(config: Interfaces.Config, ids: readonly string[]): Promise<CommandTable> {
  const wanted = config.commands.filter(({ id }) => ids.includes(id));
  const classes = wanted.map(async ({ id, load }) => [id, await load()] as const);
  return Object.fromEntries(await Promise.all(classes));
}

/** Commands whose summary stands on the first page. */
function summarized(): string[] {
  return GROUPS.flatMap(({ names }) => names).filter((name) => !(name in TOPICS));
}

/** An article that belongs to no command, such as a cause named by a diagnosis. Undefined when there is none of that name. */
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
    // oclif's own method compiles every text as a template.
    this.render = filled;
  }

  /** Like oclif's own method, but with our measure of text, which needs no emoji tables. */
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

  /** Returns nothing: the page starts with the summary. */
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
      .sort((a, b) => Number(a.char === undefined) - Number(b.char === undefined)); // the same order as in a command's page
    return this.section("GLOBAL FLAGS", this.flags(flags) ?? "");
  }

  #list(title: string, names: readonly string[], summary: (name: string) => string): string {
    const rows = names.map((name): [string, string] => [name.replaceAll(":", " "), summary(name)]);
    return this.section(title, this.renderList(rows, { indentation: 2, spacer: "\n" }));
  }
}

/** Fills in the command's name, the only placeholder in our texts. */
function filled(text: string): string {
  return text.replaceAll("<%= config.bin %>", "coder");
}

/** The terminal's width, limited to what is comfortable to read. */
function pageWidth(): number {
  return Math.min(110, Math.max(40, process.stdout.columns ?? 80));
}

/** The command as its page shows it, without the flags that every command has and without its aliases. */
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

/** Adds variables to the summaries, shows defaults as a user would type them, and removes the dots of repeatable flags. */
function shownFlags(flags: Readonly<Record<string, DefinedFlag>>): Record<string, Command.Flag.Cached> {
  const shown = flagTexts(flags).map(({ name, env, summary, default: text }) => {
    const flag = flags[name]!;
    const own = { ...flag, name, env: undefined, summary: env === undefined ? summary : `${summary} [$${env}]` };
    return [name, flag.type === "boolean" ? own : { ...own, multiple: false, default: text }];
  });
  return Object.fromEntries(shown) as Record<string, Command.Flag.Cached>;
}
