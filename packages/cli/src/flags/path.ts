import type { ConnectRequest } from "../connection/connect.ts";
import type { GlobalValues } from "./global.ts";
import type { FlagValues } from "./kinds.ts";
import { duration } from "./kinds.ts";

/** Flags of the commands that examine the path to a workspace. */
export const PATH_FLAGS = {
  "connect-timeout": duration({
    helpValue: "<duration>",
    default: 30_000,
    summary: "Give up when the workspace cannot be reached within this time; 0 means no limit",
  }),
};

export type PathOptions = Pick<ConnectRequest, "name" | "wait" | "timeoutMs" | "disableDirect" | "region">;

/** Examining a path changes nothing: a stopped workspace stays stopped, and startup scripts are not waited for. */
export function pathOptions(
  name: string,
  flags: FlagValues<typeof PATH_FLAGS> & Pick<GlobalValues, "disable-direct-connections" | "region">,
): PathOptions {
  return {
    name,
    wait: "no",
    timeoutMs: flags["connect-timeout"],
    disableDirect: flags["disable-direct-connections"],
    region: flags.region,
  };
}
