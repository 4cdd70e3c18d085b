/** The full command line: finds the command and runs it; help and unknown words are oclif's. */

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Config, run } from "@oclif/core";
import type { BaseCommand } from "./base-command.ts";
import { exitWith, reportFailure } from "./base-command.ts";
import Agent from "./commands/agent.ts";
import Completion from "./commands/completion.ts";
import ExternalWorkspacesInstructions from "./commands/external-workspaces/agent-instructions.ts";
import ExternalWorkspacesCreate from "./commands/external-workspaces/create.ts";
import ExternalWorkspacesList from "./commands/external-workspaces/list.ts";
import List from "./commands/list.ts";
import Login from "./commands/login.ts";
import Logout from "./commands/logout.ts";
import Server from "./commands/server.ts";
import Show from "./commands/show.ts";
import Ssh from "./commands/ssh.ts";
import TokensCreate from "./commands/tokens/create.ts";
import TokensList from "./commands/tokens/list.ts";
import TokensRemove from "./commands/tokens/remove.ts";
import Version from "./commands/version.ts";
import Whoami from "./commands/whoami.ts";
import { UserError } from "./errors/user-error.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";

type CommandClass = new (argv: string[], config: Config) => BaseCommand;

export const COMMANDS = {
  agent: Agent,
  completion: Completion,
  "external-workspaces:agent-instructions": ExternalWorkspacesInstructions,
  "external-workspaces:create": ExternalWorkspacesCreate,
  "external-workspaces:list": ExternalWorkspacesList,
  list: List,
  login: Login,
  logout: Logout,
  server: Server,
  show: Show,
  ssh: Ssh,
  "tokens:create": TokensCreate,
  "tokens:list": TokensList,
  "tokens:remove": TokensRemove,
  version: Version,
  whoami: Whoami,
};

/** Other names of commands. */
const ALIASES: Readonly<Record<string, string>> = {
  ls: "list",
  "tokens:ls": "tokens:list",
  "tokens:rm": "tokens:remove",
  "external-workspaces:ls": "external-workspaces:list",
  "--version": "version",
};

export function runCli(argv: readonly string[]): void {
  main(argv).catch((error: unknown) => exitWith(reportFailure(error, new AbortController().signal)));
}

async function main(argv: readonly string[]): Promise<void> {
  const config = await Config.load({ root: join(dirname(fileURLToPath(import.meta.url)), "..") });
  const found = findCommand(argv);
  if (found !== undefined) {
    const command = new found.Class([...found.argv], config);
    command.id = found.id;
    await command.run();
    return;
  }
  const [first] = argv;
  const isTopic = first !== undefined && Object.keys(COMMANDS).some((id) => id.startsWith(`${first}:`));
  const wantsHelp =
    argv.length === 0 ||
    argv.includes("--help") ||
    argv.includes("-h") ||
    first === "help" ||
    (isTopic && argv.length === 1);
  if (!wantsHelp) {
    const name = isTopic ? argv.slice(0, 2).join(" ") : first;
    throw new UserError(`There is no command "${name}"`, { next: ["coder --help"], code: "ERR_USAGE", exit: 2 });
  }
  await run(
    first === "help"
      ? [...argv.slice(1), "--help"]
      : argv.length === 0 || isTopic
        ? [...argv.slice(0, 1), "--help"]
        : [...argv],
    config,
  );
  await exitWith(0);
}

interface FoundCommand {
  readonly id: string;
  readonly Class: CommandClass;
  readonly argv: readonly string[];
}

/** The command that the first words name. Global flags may stand between the words of a topic. */
export function findCommand(argv: readonly string[]): FoundCommand | undefined {
  const [first, ...rest] = argv;
  if (first === undefined) return undefined;
  const single = classOf(first);
  if (single !== undefined) return { ...single, argv: rest };
  const [second, ...behind] = rotateGlobalFlags(rest);
  const double = second === undefined ? undefined : classOf(`${first}:${second}`);
  return double === undefined ? undefined : { ...double, argv: behind };
}

function classOf(name: string): { id: string; Class: CommandClass } | undefined {
  const id = ALIASES[name] ?? name;
  const Class = (COMMANDS as Readonly<Record<string, unknown>>)[id] as CommandClass | undefined;
  return Class === undefined ? undefined : { id, Class };
}
