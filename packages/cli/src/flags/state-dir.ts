/** Flags that locate the server's state, for commands that work on it beside the server. */

import type { FlagValues } from "./kinds.ts";
import { text } from "./kinds.ts";

export const STATE_DIR_FLAGS = {
  "state-dir": text({
    env: "CODER_STATE_DIRECTORY",
    helpValue: "<folder>",
    summary: 'The server\'s folder of database and keys, as given to "coder server"',
  }),
  "cache-dir": text({
    env: "CODER_CACHE_DIRECTORY",
    helpValue: "<folder>",
    summary: "Older name of --state-dir",
    hidden: true,
  }),
  "postgres-url": text({
    env: "CODER_PG_CONNECTION_URL",
    helpValue: "<url>",
    summary: "The server's PostgreSQL database, where it uses one",
  }),
  "postgres-url-file": text({
    env: "CODER_PG_CONNECTION_URL_FILE",
    helpValue: "<file>",
    summary: "File whose first line is that URL",
  }),
};

/** The given values as the server's own options. */
export function stateDirOf(flags: FlagValues<typeof STATE_DIR_FLAGS>): Record<string, string> {
  const names = ["state-dir", "cache-dir", "postgres-url", "postgres-url-file"] as const;
  const given = Object.fromEntries(names.map((name) => [name, flags[name]]));
  return Object.fromEntries(Object.entries(given).filter((entry): entry is [string, string] => entry[1] !== undefined));
}
