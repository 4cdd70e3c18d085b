import type { GivenSetting } from "../systemd/settings.ts";
import { toggle } from "./kinds.ts";
import type { LineFlag, Origins } from "./line.ts";

/** Whether the service is for one user or for the machine. */
export const SCOPE_FLAGS = {
  user: toggle({ summary: "Install a service of your own (systemctl --user); without root it always is" }),
};

export const INSTALL_FLAGS = {
  ...SCOPE_FLAGS,
  now: toggle({ default: true, summary: "Also start it; --no-now only enables it" }),
  print: toggle({ summary: "Print the unit and change nothing" }),
};

interface KeptFlag extends LineFlag {
  readonly kind?: unknown;
  readonly helpValue?: string | string[] | undefined;
}

/** The values of these flags set by the command line and the environment, for the settings file of a service. */
export function givenSettings(
  definitions: Readonly<Record<string, KeptFlag>>,
  values: Readonly<Record<string, unknown>>,
  origins: Origins,
): GivenSetting[] {
  return Object.entries(definitions).flatMap(([option, flag]) => {
    if (flag.env === undefined || (origins[option] !== "flag" && origins[option] !== "environment")) return [];
    const value = (values[option] ?? "") as GivenSetting["value"];
    return [{ variable: flag.env, option, value, kind: settingKind(option, flag) }];
  });
}

function settingKind(option: string, { kind, helpValue }: KeptFlag): GivenSetting["kind"] {
  if (kind === "duration") return "duration";
  const isPath = helpValue === "<file>" || helpValue === "<folder>" || /-(file|dir|path)$/.test(option);
  return isPath ? "path" : "text";
}
