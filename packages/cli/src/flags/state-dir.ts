/** Where the server's state is: for commands that work on it from beside the server. */
import { type FlagSpec, type FlagValues, stringFlag } from "./spec.ts";

const NAMES = ["state-dir", "cache-dir"] as const;

export const STATE_DIR_FLAGS: readonly FlagSpec[] = [
  {
    name: NAMES[0],
    env: "CODER_STATE_DIRECTORY",
    kind: "string",
    value: "folder",
    summary: 'The server\'s folder of database and keys, as given to "coder server"',
  },
  {
    name: NAMES[1],
    env: "CODER_CACHE_DIRECTORY",
    kind: "string",
    value: "folder",
    summary: "Older name of --state-dir",
    hidden: true,
  },
];

/** What was given of them, as the server's own options. */
export function stateDirOf(values: FlagValues): Record<string, string> {
  return Object.fromEntries(
    NAMES.flatMap((name) => {
      const value = stringFlag(values, name);
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
