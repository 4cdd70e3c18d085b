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
    "XDG_CONFIG_HOME, XDG_STATE_HOME",
    "all",
    "Where configuration and state are kept, instead of ~/.config and ~/.local/state",
  ],
  ["CODER_NEW_USER_PASSWORD", "reset-password", "The new password, instead of asking for it"],
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
    "Generated from the commands: `node scripts/generate-docs.ts`. An option on the command line takes precedence over its variable;",
    "`--debug-options` prints every value and where it came from. Lists are separated by commas; yes and no are `true` and `false`.",
    "",
    "| Variable | Commands | Option | |",
    "|---|---|---|---|",
    ...rows,
    "",
    "## Without an option",
    "",
    "| Variable | Commands | |",
    "|---|---|---|",
    ...OTHERS.map(
      ([names, users, text]) =>
        `| ${names
          .split(", ")
          .map((name) => `\`${name}\``)
          .join(", ")} | ${users} | ${cell(text)} |`,
    ),
    "",
  ].join("\n");
}

function link(id: string): string {
  return `[\`${id.replaceAll(":", " ")}\`](../cli/${id.replaceAll(":", "-")}.md)`;
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|");
}
