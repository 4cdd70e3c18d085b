/** The settings of a service: the variables of its environment file, from a command line. Pure but for the current folder. */
import { resolve } from "node:path";
import type { ParsedLine } from "../flags/parse.ts";
import { type FlagSpec, type FlagValue, splitList, UsageError } from "../flags/spec.ts";
import { setsVariable } from "./unit-text.ts";
import type { ServiceName } from "./units.ts";

const PROXIES = ["http_proxy", "https_proxy", "all_proxy", "no_proxy"].flatMap((name) => [name, name.toUpperCase()]);

/** What stands in a file of settings before anything is set. */
export function emptySettings(service: ServiceName): string {
  return [
    `# Settings of coder-${service}.service, one VARIABLE=value a line; those that there are: coder ${service} --help`,
    `# After a change: systemctl restart coder-${service}`,
    "",
  ].join("\n");
}

/** The variables of the flags that were given, or whose variables are set. Paths become absolute. */
export function givenVariables(
  specs: readonly FlagSpec[],
  line: Pick<ParsedLine, "values" | "origins">,
): Record<string, string> {
  const variables: Record<string, string> = {};
  for (const spec of specs) {
    const origin = line.origins[spec.name];
    if (spec.env === undefined || (origin !== "flag" && origin !== "environment")) continue;
    variables[spec.env] = textOf(spec, line.values[spec.name]);
  }
  return variables;
}

/** The way through a proxy, which a service would not know. */
export function proxyVariables(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(PROXIES.flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])));
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

function textOf(spec: FlagSpec, value: FlagValue): string {
  const isPath = spec.value === "file" || spec.value === "folder" || /-(file|dir|path)$/.test(spec.name);
  const text = (one: unknown): string => (isPath && one !== "" ? resolve(String(one)) : String(one));
  if (spec.kind === "duration") return `${String(value)}ms`;
  if (!Array.isArray(value)) return text(value);
  const items = value.map(text);
  const joined = items.join(",");
  if (splitList(joined).length !== items.length)
    throw new UsageError(`--${spec.name}: a value with a comma in it cannot be kept in the service's settings`);
  return joined;
}
