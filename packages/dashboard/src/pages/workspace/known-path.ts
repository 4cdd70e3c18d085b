import type { AgentNetwork } from "../../api/workspaces.ts";

/**
 * A client's path, as far as it is known. Some clients do not report theirs, among them the server's own. The agent counts its
 * peers by path, and if all of them are of one kind, so is this one.
 */
export function knownPath(
  client: Pick<AgentNetwork["clients"][number], "path">,
  { direct, relayed, unknown }: AgentNetwork["connections"],
): AgentNetwork["clients"][number]["path"] {
  if (client.path !== "unknown" || unknown > 0) return client.path;
  if (direct > 0 && relayed === 0) return "direct";
  if (relayed > 0 && direct === 0) return "relayed";
  return "unknown";
}
