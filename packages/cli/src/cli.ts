/** The full command line: finds the command, loads it and runs it. */
import type { BaseCommand } from "./base-command.ts";
import { TOPICS } from "./command-groups.ts";
import { Ending } from "./ending.ts";
import { reportFailure } from "./errors/report.ts";
import { EXIT, UserError } from "./errors/user-error.ts";
import { GLOBAL_FLAGS, HELP_FLAG } from "./flags/global.ts";
import { parseLine } from "./flags/parse.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";
import { nearest } from "./suggest.ts";

type CommandClass = Omit<typeof BaseCommand, "prototype"> & (new (id: string, argv: readonly string[]) => BaseCommand);

/** Loaded when they are wanted: a start pays for one command. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandClass>>> = {
  agent: async () => (await import("./commands/agent.ts")).default,
  "agent:install": async () => (await import("./commands/agent/install.ts")).default,
  "agent:uninstall": async () => (await import("./commands/agent/uninstall.ts")).default,
  completion: async () => (await import("./commands/completion.ts")).default,
  "config-ssh": async () => (await import("./commands/config-ssh.ts")).default,
  "connect:exists": async () => (await import("./commands/connect/exists.ts")).default,
  cp: async () => (await import("./network-commands.ts")).Copy,
  delete: async () => (await import("./commands/delete.ts")).default,
  doctor: async () => (await import("./network-commands.ts")).Doctor,
  "external-workspaces:agent-instructions": async () =>
    (await import("./commands/external-workspaces/agent-instructions.ts")).default,
  "external-workspaces:create": async () => (await import("./commands/external-workspaces/create.ts")).default,
  "external-workspaces:list": async () => (await import("./commands/external-workspaces/list.ts")).default,
  list: async () => (await import("./commands/list.ts")).default,
  login: async () => (await import("./commands/login.ts")).default,
  "login:token": async () => (await import("./commands/login-token.ts")).default,
  logout: async () => (await import("./commands/logout.ts")).default,
  netcheck: async () => (await import("./network-commands.ts")).Netcheck,
  "open:app": async () => (await import("./commands/open/app.ts")).default,
  "open:vscode": async () => (await import("./commands/open/vscode.ts")).default,
  ping: async () => (await import("./network-commands.ts")).Ping,
  "port-forward": async () => (await import("./network-commands.ts")).PortForward,
  rename: async () => (await import("./commands/rename.ts")).default,
  "reset-password": async () => (await import("./commands/reset-password.ts")).default,
  restart: async () => (await import("./commands/restart.ts")).default,
  server: async () => (await import("./commands/server.ts")).default,
  "server:backup": async () => (await import("./commands/server/backup.ts")).default,
  "server:restore": async () => (await import("./commands/server/restore.ts")).default,
  "server:health": async () => (await import("./commands/server/health.ts")).default,
  "server:install": async () => (await import("./commands/server/install.ts")).default,
  "server:uninstall": async () => (await import("./commands/server/uninstall.ts")).default,
  show: async () => (await import("./commands/show.ts")).default,
  ssh: async () => (await import("./network-commands.ts")).Ssh,
  speedtest: async () => (await import("./network-commands.ts")).Speedtest,
  start: async () => (await import("./commands/start.ts")).default,
  status: async () => (await import("./network-commands.ts")).Status,
  stop: async () => (await import("./commands/stop.ts")).default,
  "support:bundle": async () => (await import("./network-commands.ts")).SupportBundle,
  "tokens:create": async () => (await import("./commands/tokens/create.ts")).default,
  "tokens:list": async () => (await import("./commands/tokens/list.ts")).default,
  "tokens:remove": async () => (await import("./commands/tokens/remove.ts")).default,
  update: async () => (await import("./commands/update.ts")).default,
  "update-cli": async () => (await import("./commands/update-cli.ts")).default,
  "users:activate": async () => (await import("./commands/users/activate.ts")).default,
  "users:create": async () => (await import("./commands/users/create.ts")).default,
  "users:delete": async () => (await import("./commands/users/delete.ts")).default,
  "users:edit-roles": async () => (await import("./commands/users/edit-roles.ts")).default,
  "users:list": async () => (await import("./commands/users/list.ts")).default,
  "users:show": async () => (await import("./commands/users/show.ts")).default,
  "users:suspend": async () => (await import("./commands/users/suspend.ts")).default,
  version: async () => (await import("./commands/version.ts")).default,
  whoami: async () => (await import("./commands/whoami.ts")).default,
};

/** Other names of commands. */
const ALIASES: Readonly<Record<string, string>> = {
  ls: "list",
  tunnel: "port-forward",
  rm: "delete",
  "users:ls": "users:list",
  "users:rm": "users:delete",
  "tokens:ls": "tokens:list",
  "tokens:rm": "tokens:remove",
  "external-workspaces:ls": "external-workspaces:list",
  "--version": "version",
};

export function runCli(argv: readonly string[]): void {
  main(argv).catch(async (error: unknown) => {
    const ending = new Ending({ service: false });
    await ending.end(reportFailure(error, ending.signal));
  });
}

async function main(argv: readonly string[]): Promise<void> {
  const found = findCommand(argv);
  if (found !== undefined) {
    const Command = await COMMANDS[found.id]!();
    await new Command(found.id, found.argv).run(() => commandsBelow(found.id));
    return;
  }
  const [first, ...rest] = argv[0] === "help" ? rotateGlobalFlags(argv.slice(1)) : argv;
  // Only flags stand in front of the command: help, or global ones. Anything else is a mistake.
  const front = first?.startsWith("-") === true ? parseLine([HELP_FLAG, ...GLOBAL_FLAGS], argv, {}).words : undefined;
  const words = (front ?? [first ?? "", ...rest]).filter((word) => word !== "" && !word.startsWith("-"));
  const named = findCommand(words);
  const isTopic = words[0] !== undefined && words[0] in TOPICS;
  const asked = argv[0] === "help" || argv.includes("--help") || argv.includes("-h");
  if (argv[0] === "help" && words.length === 1 && named === undefined && !isTopic) {
    const { renderArticle } = await import("./help.ts");
    const article = renderArticle(words[0]!);
    if (article !== undefined) {
      const ending = new Ending({ service: false });
      process.stdout.write(article);
      return ending.end(EXIT.ok);
    }
  }
  if (words.length > 0 && named === undefined && !(isTopic && (asked || words.length === 1)))
    throw unknownCommand(words);
  const ending = new Ending({ service: false });
  const { renderHelp } = await import("./help.ts");
  const subject = named?.id.split(":") ?? words.slice(0, 1);
  process.stdout.write(renderHelp(await allCommands(), subject));
  await ending.end(EXIT.ok);
}

function unknownCommand(words: readonly string[]): UserError {
  const [topic, verb] = words;
  const ids = [...Object.keys(COMMANDS), ...Object.keys(ALIASES)].filter((id) => !id.startsWith("-"));
  const below = ids.filter((id) => id.startsWith(`${topic}:`)).map((id) => id.slice(id.indexOf(":") + 1));
  const inTopic = below.length > 0 && verb !== undefined;
  const meant = inTopic
    ? nearest(verb, below)
    : nearest(topic!, new Set(ids.map((id) => id.slice(0, (id.indexOf(":") + 1 || id.length + 1) - 1))));
  const prefix = inTopic ? `${topic} ` : "";
  return new UserError(`There is no command "${prefix}${inTopic ? verb : topic}"`, {
    next: [...(meant === undefined ? [] : [`coder ${prefix}${meant}`]), `coder ${prefix}--help`],
    code: "ERR_USAGE",
    exit: EXIT.usage,
  });
}

/** Those whose names begin with the words of `id`. */
async function commandsBelow(id: string): Promise<Record<string, CommandClass>> {
  const below = Object.entries(COMMANDS).filter(([other]) => other.startsWith(`${id}:`));
  return Object.fromEntries(await Promise.all(below.map(async ([other, load]) => [other, await load()] as const)));
}

/** Every command by id: its words joined by colons. */
export async function allCommands(): Promise<Record<string, CommandClass>> {
  const commands: Record<string, CommandClass> = {};
  for (const [id, load] of Object.entries(COMMANDS)) commands[id] = await load();
  return commands;
}

interface FoundCommand {
  readonly id: string;
  readonly argv: readonly string[];
}

/** The command that the first words name. Global flags may stand between the words of a topic. */
export function findCommand(argv: readonly string[]): FoundCommand | undefined {
  const [first, ...rest] = argv;
  if (first === undefined) return undefined;
  // The longer name first: `login` is a command, and `login token` another.
  const [second, ...behind] = rotateGlobalFlags(rest);
  const double = second === undefined ? undefined : idOf(`${first}:${second}`);
  if (double !== undefined) return { id: double, argv: behind };
  const single = idOf(first);
  return single === undefined ? undefined : { id: single, argv: rest };
}

function idOf(name: string): string | undefined {
  const id = ALIASES[name] ?? name;
  return Object.hasOwn(COMMANDS, id) ? id : undefined;
}
