/**
 * The options of the last run, stored as comments in the section so that the next run can reuse them. The format is shared with a
 * stock CLI.
 */

export interface StoredOptions {
  readonly wait: "yes" | "no" | "auto";
  readonly hostPrefix: string | undefined;
  readonly hostnameSuffix: string | undefined;
  readonly disableAutostart: boolean;
  /** Each `Key=value`, as given. */
  readonly sshOptions: readonly string[];
  /** Each `key=value`. */
  readonly headers: readonly string[];
  readonly headerCommand: string | undefined;
}

const NO_OPTIONS: StoredOptions = {
  wait: "auto",
  hostPrefix: undefined,
  hostnameSuffix: undefined,
  disableAutostart: false,
  sshOptions: [],
  headers: [],
  headerCommand: undefined,
};

/** Lines `# :key=value` for options that are not the default, in a fixed order. */
export function storedLines(options: StoredOptions): string[] {
  return entriesOf(options).map(([key, value]) => `# :${key}=${value}`);
}

/** For people: one line for each option that is not the default. */
export function describeStored(options: StoredOptions): string[] {
  const lines = entriesOf(options).map(([key, value]) => `* ${key}: ${value}`);
  return lines.length === 0 ? ["* none"] : lines;
}

function entriesOf(options: StoredOptions): [key: string, value: string][] {
  const { wait, hostPrefix, hostnameSuffix, disableAutostart, sshOptions, headers, headerCommand } = options;
  return [
    ...(wait === "auto" ? [] : [["wait", wait] as [string, string]]),
    ...optional("ssh-host-prefix", hostPrefix),
    ...optional("hostname-suffix", hostnameSuffix),
    ...(disableAutostart ? [["disable-autostart", "true"] as [string, string]] : []),
    ...sshOptions.map((value): [string, string] => ["ssh-option", value]),
    ...headers.map((value): [string, string] => ["header", value]),
    ...optional("header-command", headerCommand),
  ];
}

function optional(key: string, value: string | undefined): [string, string][] {
  return value === undefined ? [] : [[key, value]];
}

/** Parses a section's comments. Ignores unknown keys, which another version may have written. */
export function parseStored(section: string): StoredOptions {
  let options = NO_OPTIONS;
  for (const line of section.split("\n")) {
    const match = /^# :([a-z-]+)=(.*)$/.exec(line.trimEnd());
    if (match === null) continue;
    const [, key = "", value = ""] = match;
    switch (key) {
      case "wait":
        if (value === "yes" || value === "no" || value === "auto") options = { ...options, wait: value };
        break;
      case "ssh-host-prefix":
        options = { ...options, hostPrefix: value };
        break;
      case "hostname-suffix":
        options = { ...options, hostnameSuffix: value };
        break;
      case "disable-autostart":
        options = { ...options, disableAutostart: value === "true" };
        break;
      case "ssh-option":
        options = { ...options, sshOptions: [...options.sshOptions, value] };
        break;
      case "header":
        options = { ...options, headers: [...options.headers, value] };
        break;
      case "header-command":
        options = { ...options, headerCommand: value };
    }
  }
  return options;
}

export function sameStored(a: StoredOptions, b: StoredOptions): boolean {
  return storedLines(a).join("\n") === storedLines(b).join("\n");
}
