import type { FlagSpec } from "./spec.ts";

/** For whom a service is. */
export const SCOPE_FLAGS: readonly FlagSpec[] = [
  {
    name: "user",
    kind: "boolean",
    summary: "A service of your own, by systemctl --user; without root it always is",
  },
];

export const INSTALL_FLAGS: readonly FlagSpec[] = [
  ...SCOPE_FLAGS,
  {
    name: "now",
    kind: "boolean",
    default: "true",
    summary: "Start it, too; --no-now only enables it",
  },
  { name: "print", kind: "boolean", summary: "Print the unit, and change nothing" },
];
