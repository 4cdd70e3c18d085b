/**
 * The settings of a service: the variables of its environment file, made from a command line. Pure, except for the current
 * folder.
 */
import { delimiter, resolve } from "node:path";
import { splitList } from "../base/split-list.ts";
import { UsageError } from "../errors/usage-error.ts";
import { setsVariable } from "./unit-text.ts";
import type { ServiceName } from "./units.ts";

const PROXIES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

const TRUST_FILES = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"];

/** Content of a settings file before anything is set. */
export function emptySettings(service: ServiceName): string {
  return [
    `# Settings of coder-${service}.service, one VARIABLE=value per line. For a list: coder ${service} --help`,
    `# After a change: systemctl restart coder-${service}`,
    "",
  ].join("\n");
}

/** A setting as given: by an option, or by the variable itself. */
export interface GivenSetting {
  readonly variable: string;
  /** Name of its option. */
  readonly option: string;
  readonly value: string | number | boolean | readonly string[];
  readonly kind: "text" | "path" | "duration";
}

/** The variables for these settings. Paths become absolute. */
export function settingVariables(given: readonly GivenSetting[]): Record<string, string> {
  return Object.fromEntries(given.map((setting) => [setting.variable, textOf(setting)]));
}

/** Variables about HTTP proxies and trusted authorities, which a service would not inherit. Paths become absolute. */
export function surroundingVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  const found = (names: readonly string[], written: (text: string) => string) =>
    names.flatMap((name) => (environment[name] ? [[name, written(environment[name])] as const] : []));
  const absolute = (paths: string) =>
    paths
      .split(delimiter)
      .filter((path) => path !== "")
      .map((path) => resolve(path))
      .join(delimiter);
  return Object.fromEntries([
    ...found(PROXIES, (text) => text),
    ...found(TRUST_FILES, (path) => resolve(path)),
    ...found(["SSL_CERT_DIR"], absolute),
  ]);
}

export function missingVariables(settings: string, wanted: readonly string[]): string[] {
  return wanted.filter((name) => !setsVariable(settings, name));
}

/** Whether the server will listen on a port that needs a capability. */
export function listensLow(settings: string): boolean {
  const ports = [...settings.matchAll(/^\s*CODER_(?:HTTP|TLS)_ADDRESS=.*:(\d+)["']?\s*$/gm)].map(([, port]) =>
    Number(port),
  );
  return ports.some((port) => port > 0 && port < 1024);
}

function textOf({ option, value, kind }: GivenSetting): string {
  const text = (one: unknown): string => (kind === "path" && one !== "" ? resolve(String(one)) : String(one));
  if (kind === "duration") return `${String(value)}ms`;
  if (typeof value !== "object") return text(value);
  const joined = value.map(text).join(",");
  if (splitList(joined).length !== value.length)
    throw new UsageError(`--${option}: a value with a comma in it cannot be kept in the service's settings`);
  return joined;
}
