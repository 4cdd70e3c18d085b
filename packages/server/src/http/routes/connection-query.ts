import type { ConnectionFilter } from "../../db/connection-reports.ts";

const MAX_QUERY_LENGTH = 500;
const KEYS = new Set(["workspace", "owner", "type", "action"]);

/**
 * The filter of the connection log: `key:value` terms; a bare word is part of a workspace's name. Returns the problem in words if
 * it is invalid.
 */
export function parseConnectionQuery(text: string): ConnectionFilter | { readonly problem: string } {
  if (text.length > MAX_QUERY_LENGTH) return { problem: `must have at most ${MAX_QUERY_LENGTH} characters` };
  const found = new Map<string, string>();
  for (const term of text.trim().toLowerCase().split(/\s+/)) {
    if (term === "") continue;
    const colon = term.indexOf(":");
    const key = colon < 0 ? "workspace" : term.slice(0, colon);
    const value = term.slice(colon + 1);
    if (!KEYS.has(key)) return { problem: `does not know "${key}"; it knows ${[...KEYS].join(", ")}` };
    if (value === "") return { problem: `has no value for "${key}"` };
    found.set(key, value);
  }
  const action = found.get("action");
  if (action !== undefined && action !== "connect" && action !== "disconnect")
    return { problem: 'takes "action:connect" or "action:disconnect"' };
  return { workspace: found.get("workspace"), owner: found.get("owner"), type: found.get("type"), action };
}
