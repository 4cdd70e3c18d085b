/** Every command by id (its words joined by colons), and how a command line finds its command. */
import type { Command } from "@oclif/core/command";
import type { Config } from "@oclif/core/config";
import { nearest } from "./base/suggest.ts";
import { EXIT, UserError } from "./errors/user-error.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";
import { type CommandTexts, type DefinedCommand, textsOf } from "./help/command-texts.ts";

export type CommandClass = typeof Command & (new (argv: string[], config: Config) => Command);
type LoadCommand = () => Promise<{ readonly default: CommandClass }>;

/** A start loads the definition of the command that it runs, and of no other. */
export const COMMANDS: Readonly<Record<string, LoadCommand>> = {
  agent: () => import("./commands/agent.ts"),
  "agent:install": () => import("./commands/agent/install.ts"),
  "agent:uninstall": () => import("./commands/agent/uninstall.ts"),
  "apps:add": () => import("./commands/apps/add.ts"),
  "apps:approve": () => import("./commands/apps/approve.ts"),
  "apps:edit": () => import("./commands/apps/edit.ts"),
  "apps:list": () => import("./commands/apps/list.ts"),
  "apps:ports": () => import("./commands/apps/ports.ts"),
  "apps:remove": () => import("./commands/apps/remove.ts"),
  "apps:share": () => import("./commands/apps/share.ts"),
  completion: () => import("./commands/completion.ts"),
  "config-ssh": () => import("./commands/config-ssh.ts"),
  "connect:exists": () => import("./commands/connect/exists.ts"),
  cp: () => import("./commands/cp.ts"),
  delete: () => import("./commands/delete.ts"),
  "deployment:edit-connection-policy": () => import("./commands/deployment/edit-connection-policy.ts"),
  doctor: () => import("./commands/doctor.ts"),
  "external-workspaces:agent-instructions": () => import("./commands/external-workspaces/agent-instructions.ts"),
  "external-workspaces:create": () => import("./commands/external-workspaces/create.ts"),
  "external-workspaces:edit-connection-policy": () =>
    import("./commands/external-workspaces/edit-connection-policy.ts"),
  "external-workspaces:list": () => import("./commands/external-workspaces/list.ts"),
  "external-workspaces:rotate-token": () => import("./commands/external-workspaces/rotate-token.ts"),
  list: () => import("./commands/list.ts"),
  login: () => import("./commands/login.ts"),
  "login:token": () => import("./commands/login-token.ts"),
  logout: () => import("./commands/logout.ts"),
  netcheck: () => import("./commands/netcheck.ts"),
  "open:app": () => import("./commands/open/app.ts"),
  "open:terminal": () => import("./commands/open/terminal.ts"),
  "open:vscode": () => import("./commands/open/vscode.ts"),
  ping: () => import("./commands/ping.ts"),
  "port-forward": () => import("./commands/port-forward.ts"),
  rename: () => import("./commands/rename.ts"),
  "reset-password": () => import("./commands/reset-password.ts"),
  restart: () => import("./commands/restart.ts"),
  server: () => import("./commands/server.ts"),
  "server:backup": () => import("./commands/server/backup.ts"),
  "server:restore": () => import("./commands/server/restore.ts"),
  "server:health": () => import("./commands/server/health.ts"),
  "server:install": () => import("./commands/server/install.ts"),
  "server:uninstall": () => import("./commands/server/uninstall.ts"),
  "server:migrate-store": () => import("./commands/server/migrate-store.ts"),
  "server:keys:generate": () => import("./commands/server/keys/generate.ts"),
  show: () => import("./commands/show.ts"),
  ssh: () => import("./commands/ssh.ts"),
  speedtest: () => import("./commands/speedtest.ts"),
  start: () => import("./commands/start.ts"),
  status: () => import("./commands/status.ts"),
  stop: () => import("./commands/stop.ts"),
  "support:bundle": () => import("./commands/support/bundle.ts"),
  "terminals:end": () => import("./commands/terminals/end.ts"),
  "terminals:list": () => import("./commands/terminals/list.ts"),
  "tokens:create": () => import("./commands/tokens/create.ts"),
  "tokens:list": () => import("./commands/tokens/list.ts"),
  "tokens:remove": () => import("./commands/tokens/remove.ts"),
  update: () => import("./commands/update.ts"),
  "update-cli": () => import("./commands/update-cli.ts"),
  "users:activate": () => import("./commands/users/activate.ts"),
  "users:create": () => import("./commands/users/create.ts"),
  "users:delete": () => import("./commands/users/delete.ts"),
  "users:edit-connection-policy": () => import("./commands/users/edit-connection-policy.ts"),
  "users:edit-roles": () => import("./commands/users/edit-roles.ts"),
  "users:list": () => import("./commands/users/list.ts"),
  "users:show": () => import("./commands/users/show.ts"),
  "users:suspend": () => import("./commands/users/suspend.ts"),
  version: () => import("./commands/version.ts"),
  whoami: () => import("./commands/whoami.ts"),
  "wsproxy:create": () => import("./commands/wsproxy/create.ts"),
  "wsproxy:delete": () => import("./commands/wsproxy/delete.ts"),
  "wsproxy:edit": () => import("./commands/wsproxy/edit.ts"),
  "wsproxy:list": () => import("./commands/wsproxy/list.ts"),
  "wsproxy:regenerate-token": () => import("./commands/wsproxy/regenerate-token.ts"),
  "wsproxy:server": () => import("./commands/wsproxy/server.ts"),
};

/** Ids by alias. `--version` is an alias that help does not mention. */
const ALIASES: Readonly<Record<string, string>> = {
  "apps:ls": "apps:list",
  "apps:rm": "apps:remove",
  rm: "delete",
  "external-workspaces:ls": "external-workspaces:list",
  ls: "list",
  "apps:open": "open:app",
  tunnel: "port-forward",
  "terminals:ls": "terminals:list",
  "tokens:ls": "tokens:list",
  "tokens:rm": "tokens:remove",
  "users:rm": "users:delete",
  "users:ls": "users:list",
  "workspace-proxy:create": "wsproxy:create",
  "wsproxy:rm": "wsproxy:delete",
  "workspace-proxy:delete": "wsproxy:delete",
  "workspace-proxy:rm": "wsproxy:delete",
  "workspace-proxy:edit": "wsproxy:edit",
  "wsproxy:ls": "wsproxy:list",
  "workspace-proxy:list": "wsproxy:list",
  "workspace-proxy:ls": "wsproxy:list",
  "workspace-proxy:regenerate-token": "wsproxy:regenerate-token",
  "workspace-proxy:server": "wsproxy:server",
  "--version": "version",
};

export interface FoundCommand {
  readonly id: string;
  readonly argv: readonly string[];
}

/** Number of words in the longest name: `server keys generate`. */
const LONGEST_NAME = 3;

/** The command that the first words name. Global flags may stand between the words of a topic. */
export function findCommand(argv: readonly string[]): FoundCommand | undefined {
  const words: string[] = [];
  let found: FoundCommand | undefined;
  let left = argv;
  while (words.length < LONGEST_NAME) {
    const [word, ...behind] = words.length === 0 ? left : rotateGlobalFlags(left);
    if (word === undefined) break;
    words.push(word);
    left = behind;
    // The longest name wins: `login` is a command, and `login token` another.
    const id = idOf(words.join(":"));
    if (id !== undefined) found = { id, argv: behind };
  }
  return found;
}

function idOf(name: string): string | undefined {
  const id = Object.hasOwn(ALIASES, name) ? ALIASES[name]! : name;
  return Object.hasOwn(COMMANDS, id) ? id : undefined;
}

/** The error suggests the command that was probably meant. */
export function unknownCommand(words: readonly string[]): UserError {
  const [topic, verb] = words;
  const ids = [...Object.keys(COMMANDS), ...Object.keys(ALIASES)].filter((id) => !id.startsWith("-"));
  const below = ids.filter((id) => id.startsWith(`${topic}:`)).map((id) => id.slice(id.indexOf(":") + 1));
  const inTopic = below.length > 0 && verb !== undefined;
  const meant = inTopic ? nearest(verb, below) : nearest(topic!, new Set(ids.map((id) => id.split(":")[0]!)));
  const prefix = inTopic ? `${topic} ` : "";
  return new UserError(`There is no command "${prefix}${inTopic ? verb : topic}"`, {
    next: [...(meant === undefined ? [] : [`coder ${prefix}${meant}`]), `coder ${prefix}--help`],
    code: "ERR_USAGE",
    exit: EXIT.usage,
  });
}

/** The class of a command that {@link findCommand} found. */
export async function loadCommand(id: string): Promise<CommandClass> {
  const { default: command } = await COMMANDS[id]!();
  command.id = id;
  return command;
}

/** What the manual, completion and help say about each command. */
export async function allCommandTexts(): Promise<Record<string, CommandTexts>> {
  const texts = Object.keys(COMMANDS).map(
    async (id) => [id, textsOf((await loadCommand(id)) as DefinedCommand)] as const,
  );
  return Object.fromEntries(await Promise.all(texts));
}
