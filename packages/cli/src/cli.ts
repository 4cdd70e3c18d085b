/** The full command line: finds the command, loads it and runs it. */
import type { BaseCommand } from "./base-command.ts";
import { exitWith } from "./base-command.ts";
import { reportFailure } from "./errors/report.ts";
import { UserError } from "./errors/user-error.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";

type CommandClass = Omit<typeof BaseCommand, "prototype"> & (new (id: string, argv: readonly string[]) => BaseCommand);

/** Loaded when they are wanted: a start pays for one command. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandClass>>> = {
  agent: async () => (await import("./commands/agent.ts")).default,
  completion: async () => (await import("./commands/completion.ts")).default,
  "config-ssh": async () => (await import("./commands/config-ssh.ts")).default,
  "connect:exists": async () => (await import("./commands/connect/exists.ts")).default,
  cp: async () => (await import("./network-commands.ts")).Copy,
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
  restart: async () => (await import("./commands/restart.ts")).default,
  server: async () => (await import("./commands/server.ts")).default,
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
  version: async () => (await import("./commands/version.ts")).default,
  whoami: async () => (await import("./commands/whoami.ts")).default,
};

/** Other names of commands. */
const ALIASES: Readonly<Record<string, string>> = {
  ls: "list",
  tunnel: "port-forward",
  "tokens:ls": "tokens:list",
  "tokens:rm": "tokens:remove",
  "external-workspaces:ls": "external-workspaces:list",
  "--version": "version",
};

export function runCli(argv: readonly string[]): void {
  main(argv).catch((error: unknown) => exitWith(reportFailure(error, new AbortController().signal)));
}

async function main(argv: readonly string[]): Promise<void> {
  const found = findCommand(argv);
  if (found !== undefined) {
    const Command = await COMMANDS[found.id]!();
    await new Command(found.id, found.argv).run();
    return;
  }
  const words = (argv[0] === "help" ? argv.slice(1) : argv).filter((word) => !word.startsWith("-"));
  const isTopic = Object.keys(COMMANDS).some((id) => id.startsWith(`${words[0]}:`));
  const asked = argv[0] === "help" || argv.includes("--help") || argv.includes("-h");
  const named = findCommand(words);
  const known = words.length === 0 || named !== undefined || (isTopic && (asked || words.length === 1));
  if (!known || (!asked && words.length === 0 && argv.length > 0)) {
    const name = words.length === 0 ? argv[0] : isTopic ? words.slice(0, 2).join(" ") : words[0];
    throw new UserError(`There is no command "${name}"`, { next: ["coder --help"], code: "ERR_USAGE", exit: 2 });
  }
  const { showHelp } = await import("./help.ts");
  const subject = named?.id.split(":") ?? words.slice(0, 1);
  await showHelp(await allCommands(), subject);
  await exitWith(0);
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
