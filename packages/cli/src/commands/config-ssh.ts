import { isAbsolute, join, resolve } from "node:path";
import { isVersioned, lastingSelfCommand } from "coder-client/base/self-command";
import { BaseCommand } from "../base-command.ts";
import { accountHome } from "../config-dir.ts";
import { UserError } from "../errors/user-error.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, listFlag, stringFlag, UsageError } from "../flags/spec.ts";
import { fetchSshSettings, isHostPart, readSshConfig, writeSshConfig } from "../services/config-ssh.ts";
import { configDirOf, openDeployment } from "../services/deployment.ts";
import { listWorkspaces } from "../services/list.ts";
import { renderBlock } from "../ssh-config/block.ts";
import { unifiedDiff } from "../ssh-config/diff.ts";
import { mergeHostOptions, parseHostOption } from "../ssh-config/host-options.ts";
import { shellKindOf } from "../ssh-config/quoting.ts";
import { describeStored, parseStored, type StoredOptions, sameStored } from "../ssh-config/stored-options.ts";
import { confirm } from "../ui/prompt.ts";
import { say } from "../ui/say.ts";

const FLAGS: readonly FlagSpec[] = [
  {
    name: "ssh-config-file",
    env: "CODER_SSH_CONFIG_FILE",
    kind: "string",
    value: "file",
    default: "~/.ssh/config",
    summary: "SSH configuration to change",
  },
  {
    name: "ssh-option",
    char: "o",
    env: "CODER_SSH_CONFIG_OPTS",
    kind: "list",
    value: "Key=value",
    summary: "SSH option of every workspace; an empty value leaves an option out; may be given several times",
  },
  {
    name: "ssh-host-prefix",
    env: "CODER_CONFIGSSH_SSH_HOST_PREFIX",
    kind: "string",
    value: "prefix",
    summary: "Hosts are called <prefix><workspace>, instead of what the deployment says",
  },
  {
    name: "hostname-suffix",
    env: "CODER_CONFIGSSH_HOSTNAME_SUFFIX",
    kind: "string",
    value: "suffix",
    summary: "Hosts are called <workspace>.<suffix>, instead of what the deployment says",
  },
  {
    name: "block",
    env: "CODER_CONFIGSSH_BLOCK",
    kind: "string",
    value: "name",
    summary: "Keep this deployment in a section of its own, beside those of others: hosts <name>.* and *.<name>",
  },
  {
    name: "wait",
    env: "CODER_CONFIGSSH_WAIT",
    kind: "string",
    options: ["yes", "no", "auto"],
    default: "auto",
    summary: "Whether connections wait for the startup scripts",
  },
  {
    name: "disable-autostart",
    env: "CODER_CONFIGSSH_DISABLE_AUTOSTART",
    kind: "boolean",
    summary: "Connections do not start a stopped workspace",
  },
  {
    name: "coder-binary-path",
    env: "CODER_SSH_CONFIG_BINARY_PATH",
    kind: "string",
    value: "program",
    summary: "Absolute path of the coder program that ssh shall run, instead of this one",
  },
  {
    name: "use-previous-options",
    env: "CODER_SSH_USE_PREVIOUS_OPTIONS",
    kind: "boolean",
    summary: "Use the options of the last run again, without a question",
  },
  {
    name: "dry-run",
    char: "n",
    env: "CODER_SSH_DRY_RUN",
    kind: "boolean",
    summary: "Print what would change as a diff and change nothing",
  },
  { name: "yes", char: "y", kind: "boolean", summary: "Skip confirmation prompts" },
  {
    name: "force-unix-filepaths",
    env: "CODER_CONFIGSSH_UNIX_FILEPATHS",
    kind: "boolean",
    summary: "Accepted for compatibility: paths are written with slashes on Windows anyway",
    hidden: true,
  },
  {
    name: "skip-proxy-command",
    env: "CODER_SSH_SKIP_PROXY_COMMAND",
    kind: "boolean",
    summary: "Write no ProxyCommand",
    hidden: true,
  },
];

/** Global flags that a connection made by ssh needs just as this one does. Headers are kept with the options. */
const CARRIED = ["ca-file", "client-cert", "client-key", "region"];
/** Of those, the ones that name files. */
const CARRIED_FILES = new Set(["ca-file", "client-cert", "client-key"]);

export default class ConfigSsh extends BaseCommand {
  static override summary = "Make ssh, scp, git and editors reach workspaces by host name";
  static override description =
    "Writes one section into the SSH configuration, for all workspaces of the deployment, present and future; everything else in the file stays as it is.";
  static override examples = [
    "<%= config.bin %> config-ssh",
    "<%= config.bin %> config-ssh --dry-run",
    "<%= config.bin %> config-ssh --yes -o ForwardAgent=yes",
    "<%= config.bin %> --global-config ~/.config/coder-work config-ssh --block work",
  ];
  static override specs = FLAGS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const { values } = line;
    const name = blockName(stringFlag(values, "block"));
    const path = expandHome(stringFlag(values, "ssh-config-file") ?? "~/.ssh/config");
    const file = readSshConfig(path, name);
    const dryRun = booleanFlag(values, "dry-run");
    const mayAsk = !booleanFlag(values, "yes") && !dryRun;
    const stored = await this.#chooseOptions(line, file.section, mayAsk, signal);
    const launcher = launcherOf(stringFlag(values, "coder-binary-path"));
    const ownOptions = stored.sshOptions.map(parseHostOption);
    const deployment = openDeployment({ ...values, header: stored.headers, "header-command": stored.headerCommand });
    const settings = await fetchSshSettings(deployment, signal);
    const { options: hostOptions, refused } = mergeHostOptions(ownOptions, settings.options);
    if (refused.length > 0) {
      say(
        `The deployment asks for SSH options that it may not set on this machine, they are left out: ${refused.join(", ")}`,
      );
    }
    const hostPrefix = stored.hostPrefix ?? (name === undefined ? settings.hostPrefix : `${name}.`);
    const hostnameSuffix = stored.hostnameSuffix ?? (name === undefined ? settings.hostnameSuffix : name);
    if (hostPrefix === "" && hostnameSuffix === "") {
      throw new UserError("There would be no host names: prefix and suffix are both empty", {
        next: ["give one: --ssh-host-prefix coder."],
        code: "ERR_USAGE",
        exit: 2,
      });
    }
    const block = renderBlock({
      name,
      launcher,
      configDir: resolve(configDirOf(values)),
      globalFlags: globalFlagsOf(line, stored),
      stored,
      hostPrefix,
      hostnameSuffix,
      hostOptions,
      shell: shellKindOf(process.platform),
      proxyCommand: !booleanFlag(values, "skip-proxy-command"),
    });
    const content = file.with(block);
    if (content === file.content) {
      say(`Nothing to change in ${path}`);
    } else if (dryRun) {
      say(`${file.section === undefined ? "Would add a section to" : "Would replace coder's section of"} ${path}`);
      const [before, after] = [file.content, content].map((text) => Buffer.from(text, "latin1").toString("utf8"));
      process.stdout.write(`${coloured(unifiedDiff(before!, after!, path)).join("\n")}\n`);
      return;
    } else {
      if (mayAsk) {
        const doing = file.section === undefined ? "Add a section to" : "Replace coder's section of";
        if (!(await confirm(`${doing} ${path}?`, signal))) {
          say("Nothing was changed");
          return;
        }
      }
      writeSshConfig(file, content);
      say(`${file.section === undefined ? "Added a section to" : "Replaced coder's section of"} ${path}`);
    }
    await sayExample(deployment, hostPrefix, hostnameSuffix, signal);
    return;
  }

  /** The line's options, or those of the last run. */
  async #chooseOptions(
    line: ParsedLine,
    section: string | undefined,
    mayAsk: boolean,
    signal: AbortSignal,
  ): Promise<StoredOptions> {
    const given = optionsOf(line);
    if (section === undefined) return given;
    const previous = parseStored(Buffer.from(section, "latin1").toString("utf8"));
    if (sameStored(previous, given)) return given;
    if (booleanFlag(line.values, "use-previous-options")) return checked(previous);
    if (!mayAsk) return given;
    say("The last config-ssh had other options:");
    for (const text of describeStored(previous)) say(`  ${text}`);
    say("This one has:");
    for (const text of describeStored(given)) say(`  ${text}`);
    return (await confirm("Use the new options?", signal)) ? given : checked(previous);
  }
}

function optionsOf({ values, origins }: ParsedLine): StoredOptions {
  const given = (flag: string): string | undefined => {
    // An empty prefix is a choice too: no such hosts.
    const value = values[flag];
    return origins[flag] === "unset" || typeof value !== "string" ? undefined : value;
  };
  return checked({
    wait: values["wait"] as StoredOptions["wait"],
    hostPrefix: given("ssh-host-prefix"),
    hostnameSuffix: given("hostname-suffix"),
    disableAutostart: booleanFlag(values, "disable-autostart"),
    sshOptions: listFlag(values, "ssh-option"),
    headers: listFlag(values, "header"),
    headerCommand: stringFlag(values, "header-command"),
  });
}

function checked(options: StoredOptions): StoredOptions {
  for (const [flag, value] of [
    ["--ssh-host-prefix", options.hostPrefix],
    ["--hostname-suffix", options.hostnameSuffix],
  ] as const) {
    if (value !== undefined && !isHostPart(value))
      throw new UsageError(
        `${flag} is ${JSON.stringify(value)}; it takes letters, digits, dots, hyphens and underscores`,
      );
  }
  if (options.hostnameSuffix?.startsWith(".") === true)
    throw new UsageError(`--hostname-suffix is "${options.hostnameSuffix}"; write it without its dot`);
  for (const text of [...options.headers, options.headerCommand ?? ""]) {
    if (/[\r\n\0]/.test(text)) throw new UsageError(`${JSON.stringify(text)} cannot be kept: it holds a line break`);
  }
  return options;
}

function blockName(name: string | undefined): string | undefined {
  if (name === undefined || /^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$/.test(name)) return name;
  throw new UsageError(`--block is ${JSON.stringify(name)}; it takes letters, digits and single hyphens`);
}

function globalFlagsOf({ values }: ParsedLine, stored: StoredOptions): string[] {
  const flags = stored.headers.flatMap((header) => ["--header", header]);
  if (stored.headerCommand !== undefined) flags.push("--header-command", stored.headerCommand);
  for (const name of CARRIED) {
    const value = stringFlag(values, name);
    if (value !== undefined) flags.push(`--${name}`, CARRIED_FILES.has(name) ? resolve(value) : value);
  }
  if (booleanFlag(values, "disable-direct-connections")) flags.push("--disable-direct-connections");
  return flags;
}

/** What ssh has to run to run us. */
function launcherOf(program: string | undefined): string[] {
  if (program === undefined) {
    const command = lastingSelfCommand(process.env["PATH"]);
    if (isVersioned(command[0]))
      say(
        `note: ${command[0]} is gone once Node is upgraded; run this again then, or name a link with --coder-binary-path`,
      );
    return [...command];
  }
  if (process.platform !== "win32" && !isAbsolute(program))
    throw new UsageError(`--coder-binary-path is "${program}"; it takes an absolute path`);
  return [program];
}

function expandHome(path: string): string {
  const home = process.env["HOME"] ?? accountHome();
  return path === "~" || path.startsWith("~/") || path.startsWith("~\\") ? join(home, path.slice(1)) : resolve(path);
}

/** A line that the person can try right away. */
async function sayExample(
  deployment: ReturnType<typeof openDeployment>,
  hostPrefix: string,
  hostnameSuffix: string,
  signal: AbortSignal,
): Promise<void> {
  const [first] = await listWorkspaces(deployment, "owner:me", signal);
  if (first === undefined) {
    say("You have no workspace yet; as soon as there is one, ssh reaches it");
    return;
  }
  if (!/^[A-Za-z0-9-]+$/.test(first.name)) return;
  say(`Try: ssh ${hostnameSuffix === "" ? `${hostPrefix}${first.name}` : `${first.name}.${hostnameSuffix}`}`);
}

function coloured(lines: readonly string[]): readonly string[] {
  if (process.stdout.isTTY !== true || (process.env["NO_COLOR"] ?? "") !== "") return lines;
  const codes: Readonly<Record<string, number>> = { "+": 32, "-": 31, "@": 36 };
  return lines.map((line) => {
    const code = codes[line[0] ?? ""];
    return code === undefined ? line : `\x1b[${code}m${line}\x1b[0m`;
  });
}
