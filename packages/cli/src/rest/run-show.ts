/** The output of `coder show` for a workspace. */
import type { Deployment } from "coder-client/rest/deployment";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { printable } from "../base/text.ts";
import { ago } from "../ui/output.ts";
import { renderFitting } from "../ui/table.ts";
import { workspaceStatusText } from "../ui/workspace-table.ts";
import { agentNetworkText, listeningPorts } from "./show.ts";

type Agent = NonNullable<Workspace["latest_build"]["resources"][number]["agents"]>[number];

/** @param details Also print ids, platform, directory, scripts and apps. */
export async function workspaceText(
  deployment: Deployment,
  workspace: Workspace,
  details: boolean,
  signal: AbortSignal,
): Promise<string> {
  const agents = workspace.latest_build.resources.flatMap((resource) => resource.agents ?? []);
  return [
    `${printable(`${workspace.owner_name}/${workspace.name}: ${workspaceStatusText(workspace)}`)}\n\n`,
    await agentTable(deployment, workspace, agents, signal),
    ...agents.flatMap(({ name, health }) =>
      health?.reason === undefined ? [] : [`\n${printable(`${name}: ${health.reason}`)}\n`],
    ),
    await networkTable(deployment, agents, signal),
    details ? `\nWorkspace id: ${printable(workspace.id)}\n\n${detailTable(agents)}` : "",
  ].join("");
}

async function agentTable(
  deployment: Deployment,
  workspace: Workspace,
  agents: readonly Agent[],
  signal: AbortSignal,
): Promise<string> {
  const rows = await Promise.all(
    agents.map(async (agent) => [
      agent.name,
      agent.status === "connected" ? `connected, ${agent.lifecycle_state}` : agent.status,
      ago(agent.last_connected_at, Date.now()),
      agent.version,
      agent.status === "connected" ? (await listeningPorts(deployment, agent.id, signal)).join(", ") : "",
      `coder ssh ${workspace.name}${agents.length > 1 ? `.${agent.name}` : ""}`,
    ]),
  );
  return renderFitting(["AGENT", "STATUS", "LAST SEEN", "VERSION", "PORTS", "ACCESS"], rows);
}

async function networkTable(deployment: Deployment, agents: readonly Agent[], signal: AbortSignal): Promise<string> {
  const connected = agents.filter((agent) => agent.status === "connected");
  const rows = await Promise.all(
    connected.map(async (agent) => {
      const { home, connections } = await agentNetworkText(deployment, agent, signal);
      return [agent.name, home, connections];
    }),
  );
  const known = rows.some(([, home, connections]) => home !== "" || connections !== "");
  return known ? `\n${renderFitting(["AGENT", "HOME RELAY", "CONNECTIONS"], rows)}` : "";
}

function detailTable(agents: readonly Agent[]): string {
  const rows = agents.map((agent) => [
    agent.name,
    agent.id,
    `${agent.operating_system}/${agent.architecture}`,
    agent.expanded_directory || agent.directory || "",
    agent.scripts.map((script) => script.display_name).join(", "),
    agent.apps.flatMap((app) => appSlug(app)).join(", "),
  ]);
  return renderFitting(["AGENT", "ID", "PLATFORM", "DIRECTORY", "SCRIPTS", "APPS"], rows);
}

function appSlug(app: unknown): string[] {
  const slug = (app as { slug?: unknown } | null)?.slug;
  return typeof slug === "string" ? [slug] : [];
}
