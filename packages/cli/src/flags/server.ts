import { type ServerFlag, type ServerFlagRow, type ServerFlagValues, serverFlags } from "coder-server/config/flags";
import { PROXY_FLAGS } from "coder-server/proxy/flags";
import { exactText, list, type ToggleFlag, toggle, type ValueFlag } from "./kinds.ts";
import type { Origins } from "./line.ts";

type DefinitionOf<Row extends ServerFlagRow> = Row["type"] extends "boolean"
  ? ToggleFlag
  : ValueFlag<Row["type"] extends "strings" ? string[] | undefined : string | undefined>;

export const SERVER_FLAGS = definitionsOf(serverFlags) as unknown as {
  readonly [Row in ServerFlagRow as Row["name"]]: DefinitionOf<Row>;
};

/** Flags of a workspace proxy. */
export const WORKSPACE_PROXY_FLAGS = definitionsOf(PROXY_FLAGS);

/** Values stay text: the server checks them, with messages of its own, and knows what they mean. */
function definitionsOf(table: readonly ServerFlag[]): Record<string, ToggleFlag | ValueFlag<unknown>> {
  return Object.fromEntries(
    table.map(({ name, ...flag }) => {
      const mentioned = flag.default !== "" && flag.type !== "boolean";
      const common = {
        env: flag.env,
        summary: mentioned ? `${flag.description} (default ${flag.default})` : flag.description,
        emptyCounts: flag.emptyCounts,
        bare: flag.bare,
      };
      if (flag.type === "boolean") return [name, toggle(common)];
      return [name, flag.type === "strings" ? list(common) : exactText(common)];
    }),
  );
}

/** The values set by the command line and the environment; the server knows the defaults. */
export function givenServerFlags(values: Readonly<Record<string, unknown>>, origins: Origins): ServerFlagValues {
  return givenOf(serverFlags, values, origins);
}

/** Like {@link givenServerFlags}, for a workspace proxy. */
export function givenProxyFlags(values: Readonly<Record<string, unknown>>, origins: Origins): ServerFlagValues {
  return givenOf(PROXY_FLAGS, values, origins);
}

function givenOf(
  table: readonly ServerFlag[],
  values: Readonly<Record<string, unknown>>,
  origins: Origins,
): ServerFlagValues {
  const given = table.filter(({ name }) => origins[name] === "flag" || origins[name] === "environment");
  return Object.fromEntries(given.map(({ name }) => [name, values[name]])) as ServerFlagValues;
}
