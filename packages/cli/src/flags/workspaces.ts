/** Flags of commands that list, start and stop workspaces. */

import type { FlagValues } from "./kinds.ts";
import { exactText, list, text, toggle } from "./kinds.ts";
import type { Origins } from "./line.ts";

/** Selects the workspaces to list. */
export const LIST_FLAGS = {
  all: toggle({ char: "a", summary: "Workspaces of all users that you may see" }),
  search: exactText({
    helpValue: "<filter>",
    default: "owner:me",
    summary: "Filter, such as owner:me or name:dev",
  }),
};

export function listQuery(flags: FlagValues<typeof LIST_FLAGS>): string {
  return flags.all ? "" : flags.search;
}

const NO_PARAMETERS = {
  summary: "Accepted for compatibility: workspaces of this deployment have no parameters",
  hidden: true,
};

/** Parameters belong to templates with a provisioner; scripts that pass them anyway get a note. */
export const PARAMETER_FLAGS = {
  parameter: list({ helpValue: "<name=value>", ...NO_PARAMETERS }),
  "parameter-default": list({ helpValue: "<name=value>", ...NO_PARAMETERS }),
  "ephemeral-parameter": list({ helpValue: "<name=value>", ...NO_PARAMETERS }),
  "build-option": list({ helpValue: "<name=value>", ...NO_PARAMETERS }),
  "rich-parameter-file": text({ helpValue: "<file>", ...NO_PARAMETERS }),
};

/** A note that the given parameters have no effect; undefined when none were given. */
export function parameterNote(origins: Origins): string | undefined {
  const given = Object.keys(PARAMETER_FLAGS).filter((name) => origins[name] === "flag");
  if (given.length === 0) return undefined;
  return `note: ${given.map((name) => `--${name}`).join(", ")}: workspaces of this deployment have no parameters`;
}

export const QUIET_YES_FLAG = {
  yes: toggle({ char: "y", summary: "Accepted for scripts: this command never asks" }),
};
