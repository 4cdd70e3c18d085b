import type { AgentNetwork } from "../../api/workspaces.ts";

/**
 * The path of a client as far as it is known. Not every client reports its path, the server's own do not; the agent counts
 * its peers by path, and where all of them are of one kind, so is this one.
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
