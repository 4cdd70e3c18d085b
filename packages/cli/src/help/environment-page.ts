/** The documentation page of all environment variables, from the commands' definitions. */
import { GLOBAL_FLAGS } from "../flags/global.ts";
import { type CommandTexts, type FlagText, flagTexts } from "./command-texts.ts";

/** Variables that belong to no option: libraries, the system or the start of the command read them. */
const OTHERS: readonly (readonly [string, string, string])[] = [
  ["CODER_NO_NATIVE", "all", "1: do without the optional native module"],
  [
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
    "all",
    "Proxy for connections to the deployment and the relay, and the hosts that need none; lower case too",
  ],
  ["SSL_CERT_FILE, SSL_CERT_DIR", "all", "PEM file, and folders, of authorities to trust"],
  ["NO_COLOR, FORCE_COLOR", "all", "No colours, like `--no-color`; colours although the output is no terminal"],
  [
    "XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_CACHE_HOME",
    "all",
    "Folders for configuration, state and caches, instead of ~/.config, ~/.local/state and ~/.cache",
  ],
  [
    "XDG_RUNTIME_DIR",
    "all",
    "Folder for unpacked native modules when none can be loaded from the cache folder, as on a disk without programs",
  ],
  [
    "CODER_TRACE_SESSION_ID",
    "all",
    "32 lower-case hexadecimal digits that identify this session in the logs of servers and agents, instead of random ones",
  ],
  ["CODER_NEW_USER_PASSWORD", "reset-password", "The new password, instead of asking for it"],
  ["CODER_BINARY", "the line that starts an agent", "Installed command to use instead of downloading it"],
];

/** Variables that the agent sets for scripts and sessions. */
const IN_SESSIONS: readonly (readonly [string, string])[] = [
  ["CODER", "Always `true`"],
  ["CODER_AGENT_URL, CODER_AGENT_TOKEN", "The deployment and the agent's token, for programs that act as the agent"],
  ["CODER_WORKSPACE_NAME, CODER_WORKSPACE_AGENT_NAME, CODER_WORKSPACE_OWNER_NAME", "Which workspace this is"],
  [
    "CODER_SCRIPT_BIN_DIR, CODER_SCRIPT_DATA_DIR",
    "Folders for the programs and data of scripts; the first is in `PATH`",
  ],
  ["VSCODE_PROXY_URI", "Address of a port as a web app, with `{{port}}` for its number"],
];

/** Variables of a session that the agent takes from the client and does not pass on. */
const FROM_CLIENTS: readonly (readonly [string, string])[] = [
  ["CODER_SSH_SESSION_TYPE", "`ssh`, `vscode` or `jetbrains`, for statistics"],
  ["CODER_CONTAINER, CODER_CONTAINER_USER", "Accepted as with Coder; sessions in containers are refused"],
];

/** @param commands By id: the words joined by colons. */
export function environmentPage(commands: Readonly<Record<string, CommandTexts>>): string {
  const known = new Map<string, { commands: string[]; option: string; summary: string }>();
  const add = (spec: FlagText, command: string): void => {
    if (spec.env === undefined || spec.hidden === true) return;
    const key = `${spec.env} ${spec.name} ${spec.summary}`;
    const entry = known.get(key);
    if (entry === undefined) known.set(key, { commands: [command], option: spec.name, summary: spec.summary });
    else entry.commands.push(command);
  };
  for (const spec of flagTexts(GLOBAL_FLAGS)) add(spec, "every command");
  for (const id of Object.keys(commands).sort()) for (const spec of commands[id]!.flags) add(spec, link(id));
  const rows = [...known]
    .map(([key, { commands: users, option, summary }]) => [key.split(" ")[0]!, users, option, summary] as const)
    .sort(([a, usersA], [b, usersB]) => (a < b ? -1 : a > b ? 1 : String(usersA) < String(usersB) ? -1 : 1))
    .map(
      ([name, users, option, summary]) => `| \`${name}\` | ${users.join(", ")} | \`--${option}\` | ${cell(summary)} |`,
    );
  return [
    "# Environment variables",
    "",
    "`node scripts/generate-docs.ts` generates this page from the commands.",
    "",
    "An option on the command line takes precedence over its variable.",
    "With `--debug-options` a command prints every value and where it came from.",
    "Lists are separated by commas; yes and no are `true` and `false`.",
    "",
    "| Variable | Commands | Option | |",
    "|---|---|---|---|",
    ...rows,
    "",
    "## Without an option",
    "",
    "| Variable | Commands | |",
    "|---|---|---|",
    ...OTHERS.map(([names, users, text]) => `| ${quoted(names)} | ${users} | ${cell(text)} |`),
    "",
    "## Inside a workspace",
    "",
    "| Variable | Set by the agent for scripts and sessions |",
    "|---|---|",
    ...IN_SESSIONS.map(([names, text]) => `| ${quoted(names)} | ${cell(text)} |`),
    "",
    "| Variable | Read by the agent when an SSH client sends it |",
    "|---|---|",
    ...FROM_CLIENTS.map(([names, text]) => `| ${quoted(names)} | ${cell(text)} |`),
    "",
  ].join("\n");
}

function quoted(names: string): string {
  return names
    .split(", ")
    .map((name) => `\`${name}\``)
    .join(", ");
}

function link(id: string): string {
  return `[\`${id.replaceAll(":", " ")}\`](../cli/${id.replaceAll(":", "-")}.md)`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
