import type { ServerFlag, ServerFlagValues } from "../../config/flags.ts";

/** A setting as GET /deployment/config lists it, with the field names of stock servers. */
export interface OptionView {
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly value: string;
  readonly default: string;
  readonly description: string;
  readonly group: { readonly name: string };
  readonly value_source: "" | "default" | "env" | "flag";
}

/** It contains the password of the database. */
const MASKED = new Set(["postgres-url"]);

/** Every setting, with the source of its value. `environment` contains the variables that were set at the start. */
export function optionList(
  flags: readonly ServerFlag[],
  given: ServerFlagValues,
  environment: Readonly<Record<string, string | undefined>>,
): OptionView[] {
  return flags.map((flag) => {
    const value = given[flag.name];
    const text = value === undefined ? flag.default : Array.isArray(value) ? value.join(", ") : String(value);
    return {
      name: flag.name,
      flag: flag.name,
      env: flag.env,
      value: MASKED.has(flag.name) && text !== "" ? "********" : text,
      default: flag.default,
      description: flag.description,
      group: { name: flag.group },
      value_source: sourceOf(flag, text, value !== undefined, environment[flag.env]),
    };
  });
}

function sourceOf(
  flag: ServerFlag,
  text: string,
  given: boolean,
  variable: string | undefined,
): OptionView["value_source"] {
  if (!given || (text === flag.default && variable === undefined)) return "default";
  return variable === undefined ? "flag" : "env";
}
