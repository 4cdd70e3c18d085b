/** The work of `coder config-ssh`: chooses the options, makes the section and changes the file. */
import { isAbsolute, join, resolve } from "node:path";
import { isVersioned, lastingSelfCommand } from "coder-client/base/self-command";
import type { Deployment } from "coder-client/rest/deployment";
import { accountHome } from "../base/config-dir.ts";
import { UsageError } from "../errors/usage-error.ts";
import { UserError } from "../errors/user-error.ts";
import { type DeploymentOptions, openDeployment } from "../rest/deployment.ts";
import { listWorkspaces } from "../rest/list.ts";
import type { Display } from "../ui/display.ts";
import type { Paint } from "../ui/paint.ts";
import { renderBlock } from "./block.ts";
import { fetchSshSettings, isHostPart, readSshConfig, writeSshConfig } from "./config-ssh.ts";
import { unifiedDiff } from "./diff.ts";
import { mergeHostOptions, parseHostOption } from "./host-options.ts";
import { shellKindOf } from "./quoting.ts";
import { describeStored, parseStored, type StoredOptions, sameStored } from "./stored-options.ts";

export interface ConfigSshOptions {
  /** Without the headers, which are stored with the options. */
  readonly deployment: DeploymentOptions;
  readonly sshConfigFile: string;
  /** Name of a separate section. */
  readonly block: string | undefined;
  /** Stored for the next run. An empty prefix or suffix is a choice too, meaning no such hosts. */
  readonly stored: StoredOptions;
  readonly usePreviousOptions: boolean;
  readonly dryRun: boolean;
  /** Undefined when nothing may be asked. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
  /** Program for ssh to run instead of this one. */
  readonly program: string | undefined;
  readonly proxyCommand: boolean;
  /** Options, other than headers, that a connection started by ssh needs as well. */
  readonly carried: {
    readonly region: string | undefined;
    readonly disableDirect: boolean;
  };
}

export async function runConfigSsh(options: ConfigSshOptions, display: Display, signal: AbortSignal): Promise<void> {
  const { say } = display;
  const name = blockName(options.block);
  const path = expandHome(options.sshConfigFile);
  const file = readSshConfig(path, name);
  const stored = await chooseOptions(options, file.section, say);
  const launcher = launcherOf(options.program, say);
  const ownOptions = stored.sshOptions.map(parseHostOption);
  const { headers, headerCommand } = stored;
  const deployment = openDeployment({ ...options.deployment, headers, headerCommand });
  const settings = await fetchSshSettings(deployment, signal);
  const { options: hostOptions, refused } = mergeHostOptions(ownOptions, settings.options);
  if (refused.length > 0) {
    say(
      `The deployment sent SSH options that it may not set on this machine; they are left out: ${refused.join(", ")}`,
    );
  }
  const hosts = hostNames(stored, name, settings);
  const block = renderBlock({
    name,
    launcher,
    configDir: resolve(options.deployment.configDir),
    globalFlags: globalFlags(options, stored),
    stored,
    ...hosts,
    hostOptions,
    shell: shellKindOf(process.platform),
    proxyCommand: options.proxyCommand,
  });
  if (await change(options, path, file, file.with(block), display)) await sayExample(deployment, hosts, say, signal);
}

/** Returns whether the file is now up to date. */
async function change(
  { dryRun, confirm }: ConfigSshOptions,
  path: string,
  file: ReturnType<typeof readSshConfig>,
  content: string,
  { say, print, paint }: Display,
): Promise<boolean> {
  const isNew = file.section === undefined;
  if (content === file.content) {
    say(`Nothing to change in ${path}`);
    return true;
  }
  if (dryRun) {
    say(`${isNew ? "Would add a section to" : "Would replace coder's section of"} ${path}`);
    const [before, after] = [file.content, content].map((text) => Buffer.from(text, "latin1").toString("utf8"));
    print(`${coloured(unifiedDiff(before!, after!, path), paint).join("\n")}\n`);
    return false;
  }
  const question = `${isNew ? "Add a section to" : "Replace coder's section of"} ${path}?`;
  if (confirm !== undefined && !(await confirm(question))) {
    say("Nothing was changed");
    return false;
  }
  writeSshConfig(file, content);
  say(`${isNew ? "Added a section to" : "Replaced coder's section of"} ${path}`);
  return true;
}

/** The given options, or those of the last run. */
async function chooseOptions(
  { stored, usePreviousOptions, confirm }: ConfigSshOptions,
  section: string | undefined,
  say: Display["say"],
): Promise<StoredOptions> {
  const given = checked(stored);
  if (section === undefined) return given;
  const previous = parseStored(Buffer.from(section, "latin1").toString("utf8"));
  if (sameStored(previous, given)) return given;
  if (usePreviousOptions) return checked(previous);
  if (confirm === undefined) return given;
  say("The last config-ssh had other options:");
  for (const text of describeStored(previous)) say(`  ${text}`);
  say("This one has:");
  for (const text of describeStored(given)) say(`  ${text}`);
  return (await confirm("Use the new options?")) ? given : checked(previous);
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

interface HostNames {
  readonly hostPrefix: string;
  readonly hostnameSuffix: string;
}

/** Host names from the options, from the name of the section, or from the deployment. */
function hostNames(stored: StoredOptions, block: string | undefined, settings: HostNames): HostNames {
  const hostPrefix = stored.hostPrefix ?? (block === undefined ? settings.hostPrefix : `${block}.`);
  const hostnameSuffix = stored.hostnameSuffix ?? (block === undefined ? settings.hostnameSuffix : block);
  if (hostPrefix !== "" || hostnameSuffix !== "") return { hostPrefix, hostnameSuffix };
  throw new UserError("There would be no host names: prefix and suffix are both empty", {
    next: ["give one: --ssh-host-prefix coder."],
    code: "ERR_USAGE",
    exit: 2,
  });
}

function globalFlags({ deployment: { tls }, carried }: ConfigSshOptions, stored: StoredOptions): string[] {
  const flags = stored.headers.flatMap((header) => ["--header", header]);
  if (stored.headerCommand !== undefined) flags.push("--header-command", stored.headerCommand);
  for (const name of ["ca-file", "client-cert", "client-key"] as const) {
    const path = tls[name];
    if (path !== undefined) flags.push(`--${name}`, resolve(path));
  }
  if (carried.region !== undefined) flags.push("--region", carried.region);
  if (carried.disableDirect) flags.push("--disable-direct-connections");
  return flags;
}

/** The words with which ssh starts this program. */
function launcherOf(program: string | undefined, say: Display["say"]): string[] {
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

/** Prints a command line that the user can try right away. */
async function sayExample(
  deployment: Deployment,
  { hostPrefix, hostnameSuffix }: HostNames,
  say: Display["say"],
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

function coloured(lines: readonly string[], paint: Paint): readonly string[] {
  const colours: Readonly<Record<string, (text: string) => string>> = {
    "+": paint.added,
    "-": paint.removed,
    "@": paint.place,
  };
  return lines.map((line) => colours[line[0] ?? ""]?.(line) ?? line);
}
