/**
 * Help pages, laid out by oclif from the commands' tables. A bundle of its own, loaded when somebody asks for help. Nothing
 * is looked up on the way: oclif's own configuration would read files and plugins of the home folder.
 */
import type { Command, Interfaces } from "@oclif/core";
import { CommandHelp } from "@oclif/core/help";
import troubleshooting from "../../../docs/troubleshooting.md";
import { type CommandTexts, GROUPS, TOPICS, usageOf } from "./command-groups.ts";
import { GLOBAL_FLAGS } from "./flags/global.ts";
import type { FlagSpec } from "./flags/spec.ts";
import { articleOf } from "./help-article.ts";

const TROUBLESHOOTING = "troubleshooting";

type CommandTable = Readonly<Record<string, CommandTexts>>;

/** What the layout asks of oclif's configuration. */
const CONFIG = {
  bin: "coder",
  topicSeparator: " ",
  platform: process.platform,
  shell: "",
} as unknown as Interfaces.Config;
const NO_TEXTS: CommandTexts = {
  summary: "",
  description: undefined,
  examples: [],
  specs: [],
  words: [],
  takesRest: false,
};

/**
 * The page of a command, of a topic, or with no words of everything.
 * @param commands By id, words joined by colons.
 */
export function renderHelp(commands: CommandTable, words: readonly string[]): string {
  const id = words.join(":");
  const below = Object.keys(commands)
    .filter((other) => other.startsWith(`${id}:`))
    .sort();
  const command = commands[id];
  const page = new Page(command ?? NO_TEXTS, id);
  const sections =
    id === ""
      ? page.root(commands)
      : command === undefined
        ? page.topic(commands, below)
        : page.explain(commands, below);
  return `${sections.filter((section) => section !== "").join("\n\n")}\n`;
}

/** An article that is no command's: a cause that a diagnosis names. Undefined: there is none of that name. */
export function renderArticle(name: string): string | undefined {
  return articleOf(troubleshooting, TROUBLESHOOTING, name, pageWidth());
}

class Page extends CommandHelp {
  readonly #texts: CommandTexts;
  readonly #id: string;

  constructor(texts: CommandTexts, id: string) {
    super(loadable(texts, id), CONFIG, { maxWidth: pageWidth() } as Interfaces.HelpOptions);
    this.#texts = texts;
    this.#id = id;
  }

  root(commands: CommandTable): string[] {
    const summary = (name: string): string => TOPICS[name] ?? commands[name]!.summary;
    return [
      "Reach your workspaces: shells, ports and files, on the shortest way there is",
      this.section("USAGE", "$ coder <command> [flags]"),
      ...GROUPS.map(({ title, names }) => this.#list(title, names, summary)),
      this.#globalFlags(),
      this.section(
        "LEARN MORE",
        this.wrap(
          '"coder <command> --help" explains a command and its flags; "coder help troubleshooting" what a diagnosis means.',
        ),
      ),
    ];
  }

  topic(commands: CommandTable, below: readonly string[]): string[] {
    return [
      TOPICS[this.#id] ?? "",
      this.section("USAGE", `$ coder ${this.#id} <command> [flags]`),
      this.#list("COMMANDS", below, (id) => commands[id]!.summary),
      this.#globalFlags(),
    ];
  }

  explain(commands: CommandTable, below: readonly string[]): string[] {
    return [
      this.#texts.summary,
      this.generate(),
      below.length === 0 ? "" : this.#list("COMMANDS", below, (id) => commands[id]!.summary),
      this.#globalFlags(),
    ];
  }

  protected override usage(): string {
    return this.wrap(`$ coder ${usageOf(this.#texts, this.#id)}`);
  }

  protected override args(): [string, string][] | undefined {
    const { words } = this.#texts;
    if (words.length === 0) return undefined;
    return words.map(({ name, required, summary }) => [required === true ? `<${name}>` : `[${name}]`, summary]);
  }

  /** The summary stands above the page. */
  protected override description(): string | undefined {
    return this.#texts.description === undefined ? undefined : this.wrap(this.#texts.description);
  }

  #globalFlags(): string {
    const flags = Object.values(flagsOf(GLOBAL_FLAGS))
      .filter(({ hidden }) => hidden !== true)
      .sort((a, b) => Number(a.char === undefined) - Number(b.char === undefined)); // as in the page of a command
    return this.section("GLOBAL FLAGS", this.flags(flags) ?? "");
  }

  #list(title: string, names: readonly string[], summary: (name: string) => string): string {
    const rows = names.map((name): [string, string] => [name.replaceAll(":", " "), summary(name)]);
    return this.section(title, this.renderList(rows, { indentation: 2, spacer: "\n" }));
  }
}

/** As wide as the terminal, within what is pleasant to read. */
function pageWidth(): number {
  return Math.min(110, Math.max(40, process.stdout.columns ?? 80));
}

function loadable(texts: CommandTexts, id: string): Command.Loadable {
  return {
    id: id.replaceAll(":", " "),
    summary: texts.summary,
    examples: [...texts.examples],
    flags: flagsOf(texts.specs),
    args: {},
    aliases: [],
    hiddenAliases: [],
    hidden: false,
    load: () => Promise.reject(new Error("a help page is not run")),
  } as unknown as Command.Loadable;
}

function flagsOf(specs: readonly FlagSpec[]): Record<string, Command.Flag.Cached> {
  return Object.fromEntries(specs.map((spec) => [spec.name, flagOf(spec)]));
}

function flagOf(spec: FlagSpec): Command.Flag.Cached {
  const fields = {
    name: spec.name,
    summary: spec.env === undefined ? spec.summary : `${spec.summary} [$${spec.env}]`,
    char: spec.char,
    hidden: spec.hidden === true,
  };
  const value = {
    type: "option",
    multiple: false,
    helpValue: spec.value === undefined ? undefined : `<${spec.value}>`,
    options: spec.options === undefined ? undefined : [...spec.options],
    default: spec.default,
  };
  return (
    spec.kind === "boolean" ? { ...fields, type: "boolean", allowNo: false } : { ...fields, ...value }
  ) as Command.Flag.Cached;
}
