import { parseWorkspaceName } from "coder-protocol/names";
import { BaseCommand } from "../base-command.ts";
import type { ParsedLine } from "../flags/parse.ts";
import { booleanFlag, type FlagSpec } from "../flags/spec.ts";
import { openDeployment } from "../services/deployment.ts";
import { agentNetworkText, listeningPorts } from "../services/show.ts";
import { fetchWorkspace } from "../services/workspace-builds.ts";
import { ago, OUTPUT_FLAGS, printJson } from "../ui/output.ts";
import { renderFitting } from "../ui/table.ts";
import { printable } from "../ui/text.ts";
import { workspaceStatusText } from "../ui/workspace-table.ts";

const FLAGS: readonly FlagSpec[] = [
  { name: "details", kind: "boolean", summary: "Show ids, platform, directory, scripts and apps as well" },
  ...OUTPUT_FLAGS.filter((flag) => flag.name === "output"),
];
const WORDS = [{ name: "workspace", summary: "[owner/]workspace", required: true }];

export default class Show extends BaseCommand {
  static override summary = "Show a workspace, its agents and how to reach them";
  static override examples = ["<%= config.bin %> show demo", "<%= config.bin %> show --details demo"];
  static override specs = FLAGS;
  static override words = WORDS;

  protected override async execute(line: ParsedLine, signal: AbortSignal): Promise<undefined> {
    const deployment = openDeployment(line.values);
    const name = parseWorkspaceName(line.words[0]!, {});
    const workspace = await fetchWorkspace({ deployment, name, signal });
    if (line.values["output"] === "json") return void printJson(workspace);
    process.stdout.write(
      `${printable(`${workspace.owner_name}/${workspace.name}: ${workspaceStatusText(workspace)}`)}\n\n`,
    );
    const agents = workspace.latest_build.resources.flatMap((resource) => resource.agents ?? []);
    const several = agents.length > 1;
    const rows = await Promise.all(
      agents.map(async (agent) => [
        agent.name,
        agent.status === "connected" ? `connected, ${agent.lifecycle_state}` : agent.status,
        ago(agent.last_connected_at, Date.now()),
        agent.version,
        agent.status === "connected" ? (await listeningPorts(deployment, agent.id, signal)).join(", ") : "",
        `coder ssh ${workspace.name}${several ? `.${agent.name}` : ""}`,
      ]),
    );
    process.stdout.write(renderFitting(["AGENT", "STATUS", "LAST SEEN", "VERSION", "PORTS", "ACCESS"], rows));
    for (const { name: agent, health } of agents)
      if (health?.reason !== undefined) process.stdout.write(`\n${printable(`${agent}: ${health.reason}`)}\n`);
    const connected = agents.filter((agent) => agent.status === "connected");
    const paths = await Promise.all(
      connected.map(async (agent) => {
        const { home, connections } = await agentNetworkText(deployment, agent, signal);
        return [agent.name, home, connections];
      }),
    );
    if (paths.some(([, home, connections]) => home !== "" || connections !== ""))
      process.stdout.write(`\n${renderFitting(["AGENT", "HOME RELAY", "CONNECTIONS"], paths)}`);
    if (booleanFlag(line.values, "details")) {
      const details = agents.map((agent) => [
        agent.name,
        agent.id,
        `${agent.operating_system}/${agent.architecture}`,
        agent.expanded_directory || agent.directory || "",
        agent.scripts.map((script) => script.display_name).join(", "),
        agent.apps.flatMap((app) => appSlug(app)).join(", "),
      ]);
      const headers = ["AGENT", "ID", "PLATFORM", "DIRECTORY", "SCRIPTS", "APPS"];
      process.stdout.write(`\nWorkspace id: ${printable(workspace.id)}\n\n${renderFitting(headers, details)}`);
    }
  }
}

function appSlug(app: unknown): string[] {
  const slug = (app as { slug?: unknown } | null)?.slug;
  return typeof slug === "string" ? [slug] : [];
}
