import { type ServerFlagRow, type ServerFlagValues, serverFlags } from "coder-server/config/flags";
import { exactText, list, type ToggleFlag, toggle, type ValueFlag } from "./kinds.ts";
import type { Origins } from "./line.ts";

type DefinitionOf<Row extends ServerFlagRow> = Row["type"] extends "boolean"
  ? ToggleFlag
  : ValueFlag<Row["type"] extends "strings" ? string[] | undefined : string | undefined>;

/** Values stay text: the server checks them, with its own words, and knows what they mean. */
export const SERVER_FLAGS = Object.fromEntries(
  serverFlags.map(({ name, ...flag }) => {
    const mentioned = flag.default !== "" && flag.type !== "boolean";
    const common = {
      env: flag.env,
      summary: mentioned ? `${flag.description} (default ${flag.default})` : flag.description,
      ...(flag.emptyCounts === true ? { emptyCounts: true } : {}),
      ...(flag.bare === undefined ? {} : { bare: flag.bare }),
    };
    if (flag.type === "boolean") return [name, toggle(common)];
    return [name, flag.type === "strings" ? list(common) : exactText(common)];
  }),
) as unknown as { readonly [Row in ServerFlagRow as Row["name"]]: DefinitionOf<Row> };

/** What the line and the environment give; the server knows what holds otherwise. */
export function givenServerFlags(values: Readonly<Record<string, unknown>>, origins: Origins): ServerFlagValues {
  const given = serverFlags.filter(({ name }) => origins[name] === "flag" || origins[name] === "environment");
  return Object.fromEntries(given.map(({ name }) => [name, values[name]])) as ServerFlagValues;
}
