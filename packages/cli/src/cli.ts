/** The full command line: finds the command and runs it with oclif. */
import type { Interfaces } from "@oclif/core";
import type { Command } from "@oclif/core/command";
import { Config } from "@oclif/core/config";
import { VERSION } from "./base/version.ts";
import { reportFailure } from "./errors/report.ts";
import { EXIT } from "./errors/user-error.ts";
import { GLOBAL_FLAGS, HELP_FLAG } from "./flags/global.ts";
import { shapeLine } from "./flags/line.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";
import { TOPICS } from "./help/groups.ts";
import { COMMANDS, findCommand, loadCommand, unknownCommand } from "./registry.ts";
import { Ending } from "./ui/ending.ts";

/** Avoids the search for a user's theme that oclif makes at every start. */
class CoderConfig extends Config {
  override async loadTheme(): Promise<undefined> {
    return undefined;
  }
}

/** A silent logger; oclif would load a package for its own. */
const LOGGER: Interfaces.Logger = {
  debug: () => undefined,
  error: () => undefined,
  info: () => undefined,
  trace: () => undefined,
  warn: () => undefined,
  child: () => LOGGER,
  namespace: "coder",
};

/** Gives oclif everything it needs, so that it searches no folder and loads no plugins. */
async function loadConfig(): Promise<Config> {
  const pjson = { name: "coder", version: VERSION, oclif: { bin: "coder", dirname: "coder", topicSeparator: " " } };
  const plugin = {
    name: "coder",
    alias: "coder",
    type: "core",
    root: "coder",
    version: VERSION,
    valid: true,
    isRoot: true,
    moduleType: "commonjs",
    pjson,
    hooks: {},
    commands: Object.keys(COMMANDS).map(loadable),
    commandIDs: Object.keys(COMMANDS),
    topics: Object.entries(TOPICS).map(([name, description]) => ({ name, description })),
  } as unknown as Interfaces.Plugin;
  const config = new CoderConfig({
    root: "coder",
    logger: LOGGER,
    plugins: new Map([["coder", plugin]]),
    devPlugins: false,
    userPlugins: false,
  });
  await config.load();
  return config;
}

/** Other names of commands are no business of oclif's: `findCommand` knows them. */
function loadable(id: string): Command.Loadable {
  const shown = { id, aliases: [], hidden: false, hiddenAliases: [], flags: {}, args: {} };
  return { ...shown, load: () => loadCommand(id) } as Command.Loadable;
}

/** Calls `onCommand` when the line names a command. */
export function runCli(argv: readonly string[], onCommand: () => void): void {
  main(argv, onCommand).catch(async (error: unknown) => {
    const ending = new Ending({ service: false });
    await ending.end(reportFailure(error, ending.signal));
  });
}

async function main(argv: readonly string[], onCommand: () => void): Promise<void> {
  const found = findCommand(argv);
  if (found === undefined) return explain(argv);
  onCommand();
  const [command, config] = await Promise.all([loadCommand(found.id), loadConfig()]);
  await command.run([...found.argv], config);
}

/** Prints help for a line that names no command. */
async function explain(argv: readonly string[]): Promise<void> {
  const [first, ...rest] = argv[0] === "help" ? rotateGlobalFlags(argv.slice(1)) : argv;
  // Before the command only help and global flags may stand. Anything else is a mistake.
  const front =
    first?.startsWith("-") === true ? shapeLine({ ...GLOBAL_FLAGS, ...HELP_FLAG }, argv, {}).words : undefined;
  const words = (front ?? [first ?? "", ...rest]).filter((word) => word !== "" && !word.startsWith("-"));
  const named = findCommand(words);
  const isTopic = words[0] !== undefined && words[0] in TOPICS;
  const asked = argv[0] === "help" || argv.includes("--help") || argv.includes("-h");
  if (argv[0] === "help" && words.length === 1 && named === undefined && !isTopic) {
    const { renderArticle } = await import("./help/render.ts");
    const article = renderArticle(words[0]!);
    if (article !== undefined) return print(article);
  }
  if (words.length > 0 && named === undefined && !(isTopic && (asked || words.length === 1)))
    throw unknownCommand(words);
  const { renderHelp } = await import("./help/render.ts");
  return print(await renderHelp(await loadConfig(), named?.id.split(":") ?? words.slice(0, 1)));
}

async function print(text: string): Promise<never> {
  const ending = new Ending({ service: false });
  process.stdout.write(text);
  return ending.end(EXIT.ok);
}
