import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec, numberFlag, stringFlag } from "../flags/spec.ts";
import type { ConnectRequest } from "./connect.ts";

/** Flags of the commands that look at the path to a workspace. */
export const PATH_FLAGS: readonly FlagSpec[] = [
  {
    name: "connect-timeout",
    kind: "duration",
    default: "30s",
    value: "duration",
    summary: "Give up when the workspace cannot be reached within this time; 0 waits for ever",
  },
];

/** A look at a path changes nothing: a stopped workspace stays stopped, and startup scripts are not waited for. */
export function pathConnectOptions(
  line: ParsedLine,
): Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region"> {
  return {
    name: line.words[0]!,
    wait: "no",
    timeoutMs: numberFlag(line.values, "connect-timeout") ?? 0,
    disableDirect: booleanFlag(line.values, "disable-direct-connections"),
    region: stringFlag(line.values, "region"),
  };
}
