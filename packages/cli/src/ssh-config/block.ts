/** The text between the markers. */
import type { HostOption } from "./host-options.ts";
import { matchExecArgument, proxyWord, type ShellKind, slashed } from "./quoting.ts";
import { type Markers, sectionMarkers } from "./section.ts";
import { type StoredOptions, storedLines } from "./stored-options.ts";

export interface BlockOptions {
  /** Name of the section; undefined for the one that a stock CLI writes too. */
  readonly name: string | undefined;
  /** The command that runs this CLI: a program, or Node and a script. */
  readonly launcher: readonly string[];
  readonly configDir: string;
  /** Global flags that every connection needs, as words of a command line. */
  readonly globalFlags: readonly string[];
  readonly stored: StoredOptions;
  /** For example `coder.`; empty for no such hosts. */
  readonly hostPrefix: string;
  /** For example `coder`; empty for no such hosts. */
  readonly hostnameSuffix: string;
  readonly hostOptions: readonly HostOption[];
  readonly shell: ShellKind;
  /** False writes only the options, for users whose own configuration connects. */
  readonly proxyCommand: boolean;
}

/** The section with its markers, ending with a newline. */
export function renderBlock(options: BlockOptions): string {
  const { stored, hostPrefix, hostnameSuffix, hostOptions } = options;
  const markers: Markers = sectionMarkers(options.name);
  const kept = storedLines(stored);
  const lines = [
    markers.start,
    '# "coder config-ssh" rewrites this section: changes made here are lost.',
    "# Options of your own belong to other stanzas of this file, or to --ssh-option.",
    "#",
    ...(kept.length === 0 ? [] : ["# Options of the last config-ssh:", ...kept, "#"]),
  ];
  const settings = hostOptions.map(({ key, value }) =>
    key.toLowerCase() === "loglevel" ? `\t${key} ${value}` : `\t${key}=${value}`,
  );
  if (hostPrefix !== "") {
    lines.push(`Host ${hostPrefix}*`, ...settings);
    if (options.proxyCommand) lines.push(proxyLine(options, ["--ssh-host-prefix", hostPrefix]));
  }
  if (hostnameSuffix !== "") {
    if (hostPrefix !== "") lines.push("");
    lines.push(`Host *.${hostnameSuffix}`, ...settings);
    if (options.proxyCommand) {
      const exists = matchExecArgument([...launcherWords(options), "connect", "exists", "%h"]);
      // Without the check, hosts that a running Coder Desktop serves go through this command as well.
      if (exists !== undefined) lines.push("", `Match host *.${hostnameSuffix} !exec ${exists}`);
      lines.push(proxyLine(options, ["--hostname-suffix", hostnameSuffix]));
    }
  }
  lines.push(markers.end);
  return `${lines.join("\n")}\n`;
}

function proxyLine(options: BlockOptions, nameFlags: readonly string[]): string {
  const { configDir, globalFlags, stored, shell } = options;
  const word = (text: string): string => proxyWord(text, shell);
  const words = [
    ...launcherWords(options),
    "--global-config",
    word(slashed(configDir, shell)),
    ...globalFlags.map(word),
    "ssh",
    "--stdio",
    ...(stored.wait === "auto" ? [] : [`--wait=${stored.wait}`]),
    ...(stored.disableAutostart ? ["--disable-autostart=true"] : []),
    ...nameFlags.map(word),
    "%h",
  ];
  return `\tProxyCommand ${words.join(" ")}`;
}

function launcherWords({ launcher, shell }: BlockOptions): string[] {
  return launcher.map((word) => proxyWord(slashed(word, shell), shell));
}
