import { type ServerFlagValues, serverFlags } from "coder-server/config/flags";
import type { ParsedLine } from "./parse.ts";
import type { FlagSpec } from "./spec.ts";

/** Values stay text: the server checks them, with its own words, and knows what they mean. */
export const SERVER_FLAGS: readonly FlagSpec[] = serverFlags.map((flag) => ({
  name: flag.name,
  env: flag.env,
  kind: flag.type === "boolean" ? "boolean" : flag.type === "strings" ? "list" : "string",
  ...(flag.emptyCounts === true ? { emptyCounts: true } : {}),
  summary:
    flag.default === "" || flag.type === "boolean" ? flag.description : `${flag.description} (default ${flag.default})`,
}));

/** What the line and the environment say; the server knows what holds otherwise. */
export function givenServerFlags(line: Pick<ParsedLine, "values" | "origins">): ServerFlagValues {
  const said = serverFlags.filter(({ name }) => line.origins[name] === "flag" || line.origins[name] === "environment");
  return Object.fromEntries(said.map(({ name }) => [name, line.values[name]])) as ServerFlagValues;
}
