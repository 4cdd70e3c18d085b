import type { FlagReader } from "./flag-reader.ts";

/** Whether apps below paths are disabled. By default they are where apps have hosts of their own. */
export function pathAppsAreOff(read: FlagReader, hasWildcard: boolean): boolean {
  return read.isGiven("disable-path-apps") ? read.boolean("disable-path-apps") : hasWildcard;
}
