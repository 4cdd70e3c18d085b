import { serverFlags } from "coder-server/config";
import type { FlagSpec } from "./spec.ts";

/** Values stay text: the server checks them, with its own words, and knows what they mean. */
export const SERVER_FLAGS: readonly FlagSpec[] = serverFlags.map((flag) => ({
  name: flag.name,
  env: flag.env,
  kind: flag.type === "boolean" ? "boolean" : flag.type === "strings" ? "list" : "string",
  summary:
    flag.default === "" || flag.type === "boolean" ? flag.description : `${flag.description} (default ${flag.default})`,
}));
