/** Every command by id (its words joined by colons), and how a command line finds its command. */
import type { Command } from "@oclif/core/command";
import type { Config } from "@oclif/core/config";
import { nearest } from "./base/suggest.ts";
import AgentInstall from "./commands/agent/install.ts";
import AgentUninstall from "./commands/agent/uninstall.ts";
import Agent from "./commands/agent.ts";
import AppsAdd from "./commands/apps/add.ts";
import AppsApprove from "./commands/apps/approve.ts";
import AppsEdit from "./commands/apps/edit.ts";
import AppsList from "./commands/apps/list.ts";
import AppsPorts from "./commands/apps/ports.ts";
import AppsRemove from "./commands/apps/remove.ts";
import AppsShare from "./commands/apps/share.ts";
import Completion from "./commands/completion.ts";
import ConfigSsh from "./commands/config-ssh.ts";
import ConnectExists from "./commands/connect/exists.ts";
import Copy from "./commands/cp.ts";
import Delete from "./commands/delete.ts";
import Doctor from "./commands/doctor.ts";
import ExternalWorkspacesInstructions from "./commands/external-workspaces/agent-instructions.ts";
import ExternalWorkspacesCreate from "./commands/external-workspaces/create.ts";
import ExternalWorkspacesEditConnectionPolicy from "./commands/external-workspaces/edit-connection-policy.ts";
import ExternalWorkspacesList from "./commands/external-workspaces/list.ts";
import ExternalWorkspacesRotateToken from "./commands/external-workspaces/rotate-token.ts";
import List from "./commands/list.ts";
import Login from "./commands/login.ts";
import LoginToken from "./commands/login-token.ts";
import Logout from "./commands/logout.ts";
import Netcheck from "./commands/netcheck.ts";
import OpenApp from "./commands/open/app.ts";
import OpenVscode from "./commands/open/vscode.ts";
import Ping from "./commands/ping.ts";
import PortForward from "./commands/port-forward.ts";
import Rename from "./commands/rename.ts";
import ResetPassword from "./commands/reset-password.ts";
import Restart from "./commands/restart.ts";
import ServerBackup from "./commands/server/backup.ts";
import ServerHealth from "./commands/server/health.ts";
import ServerInstall from "./commands/server/install.ts";
import ServerKeysGenerate from "./commands/server/keys/generate.ts";
import ServerMigrateStore from "./commands/server/migrate-store.ts";
import ServerRestore from "./commands/server/restore.ts";
import ServerUninstall from "./commands/server/uninstall.ts";
import Server from "./commands/server.ts";
import Show from "./commands/show.ts";
import Speedtest from "./commands/speedtest.ts";
import Ssh from "./commands/ssh.ts";
import Start from "./commands/start.ts";
import Status from "./commands/status.ts";
import Stop from "./commands/stop.ts";
import SupportBundle from "./commands/support/bundle.ts";
import TerminalsEnd from "./commands/terminals/end.ts";
import TerminalsList from "./commands/terminals/list.ts";
import TokensCreate from "./commands/tokens/create.ts";
import TokensList from "./commands/tokens/list.ts";
import TokensRemove from "./commands/tokens/remove.ts";
import Update from "./commands/update.ts";
import UpdateCli from "./commands/update-cli.ts";
import UsersActivate from "./commands/users/activate.ts";
import UsersCreate from "./commands/users/create.ts";
import UsersDelete from "./commands/users/delete.ts";
import UsersEditConnectionPolicy from "./commands/users/edit-connection-policy.ts";
import UsersEditRoles from "./commands/users/edit-roles.ts";
import UsersList from "./commands/users/list.ts";
import UsersShow from "./commands/users/show.ts";
import UsersSuspend from "./commands/users/suspend.ts";
import Version from "./commands/version.ts";
import Whoami from "./commands/whoami.ts";
import WsproxyCreate from "./commands/wsproxy/create.ts";
import WsproxyDelete from "./commands/wsproxy/delete.ts";
import WsproxyEdit from "./commands/wsproxy/edit.ts";
import WsproxyList from "./commands/wsproxy/list.ts";
import WsproxyRegenerateToken from "./commands/wsproxy/regenerate-token.ts";
import WsproxyServer from "./commands/wsproxy/server.ts";
import { EXIT, UserError } from "./errors/user-error.ts";
import { rotateGlobalFlags } from "./flags/rotate.ts";
import { type CommandTexts, type DefinedCommand, textsOf } from "./help/command-texts.ts";

export type CommandClass = typeof Command & (new (argv: string[], config: Config) => Command);

export const COMMANDS: Readonly<Record<string, CommandClass>> = {
  agent: Agent,
  "agent:install": AgentInstall,
  "agent:uninstall": AgentUninstall,
  "apps:add": AppsAdd,
  "apps:approve": AppsApprove,
  "apps:edit": AppsEdit,
  "apps:list": AppsList,
  "apps:ports": AppsPorts,
  "apps:remove": AppsRemove,
  "apps:share": AppsShare,
  completion: Completion,
  "config-ssh": ConfigSsh,
  "connect:exists": ConnectExists,
  cp: Copy,
  delete: Delete,
  doctor: Doctor,
  "external-workspaces:agent-instructions": ExternalWorkspacesInstructions,
  "external-workspaces:create": ExternalWorkspacesCreate,
  "external-workspaces:edit-connection-policy": ExternalWorkspacesEditConnectionPolicy,
  "external-workspaces:list": ExternalWorkspacesList,
  "external-workspaces:rotate-token": ExternalWorkspacesRotateToken,
  list: List,
  login: Login,
  "login:token": LoginToken,
  logout: Logout,
  netcheck: Netcheck,
  "open:app": OpenApp,
  "open:vscode": OpenVscode,
  ping: Ping,
  "port-forward": PortForward,
  rename: Rename,
  "reset-password": ResetPassword,
  restart: Restart,
  server: Server,
  "server:backup": ServerBackup,
  "server:restore": ServerRestore,
  "server:health": ServerHealth,
  "server:install": ServerInstall,
  "server:uninstall": ServerUninstall,
  "server:migrate-store": ServerMigrateStore,
  "server:keys:generate": ServerKeysGenerate,
  show: Show,
  ssh: Ssh,
  speedtest: Speedtest,
  start: Start,
  status: Status,
  stop: Stop,
  "support:bundle": SupportBundle,
  "terminals:end": TerminalsEnd,
  "terminals:list": TerminalsList,
  "tokens:create": TokensCreate,
  "tokens:list": TokensList,
  "tokens:remove": TokensRemove,
  update: Update,
  "update-cli": UpdateCli,
  "users:activate": UsersActivate,
  "users:create": UsersCreate,
  "users:delete": UsersDelete,
  "users:edit-connection-policy": UsersEditConnectionPolicy,
  "users:edit-roles": UsersEditRoles,
  "users:list": UsersList,
  "users:show": UsersShow,
  "users:suspend": UsersSuspend,
  version: Version,
  whoami: Whoami,
  "wsproxy:create": WsproxyCreate,
  "wsproxy:delete": WsproxyDelete,
  "wsproxy:edit": WsproxyEdit,
  "wsproxy:list": WsproxyList,
  "wsproxy:regenerate-token": WsproxyRegenerateToken,
  "wsproxy:server": WsproxyServer,
};

for (const [id, command] of Object.entries(COMMANDS)) command.id = id;

/** Ids by alias. `--version` is an alias that help does not mention. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ...Object.entries(COMMANDS).flatMap(([id, { aliases }]) => aliases.map((alias) => [alias, id] as const)),
  ["--version", "version"],
]);

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
  const id = ALIASES.get(name) ?? name;
  return Object.hasOwn(COMMANDS, id) ? id : undefined;
}

/** The error suggests the command that was probably meant. */
export function unknownCommand(words: readonly string[]): UserError {
  const [topic, verb] = words;
  const ids = [...Object.keys(COMMANDS), ...ALIASES.keys()].filter((id) => !id.startsWith("-"));
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

/** What the manual, completion and help say about each command. */
export function allCommandTexts(): Record<string, CommandTexts> {
  const texts = Object.entries(COMMANDS).map(([id, command]) => [id, textsOf(command as DefinedCommand)] as const);
  return Object.fromEntries(texts);
}
