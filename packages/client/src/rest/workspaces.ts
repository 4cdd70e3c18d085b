/** Finds a workspace and its agent, with only the fields that connecting needs: the lean start loads no schema library. */
import type { WorkspaceName } from "coder-protocol/names";
import { ClientError } from "../base/client-error.ts";
import type { RestApi } from "./api.ts";

export interface AgentRef {
  readonly id: string;
  readonly name: string;
  /** `connecting`, `connected`, `disconnected` or `timeout`. */
  readonly status: string;
  readonly lifecycleState: string;
  readonly scripts: readonly { readonly startBlocksLogin: boolean }[];
  readonly startedAt: string | undefined;
  readonly troubleshootingUrl: string | undefined;
}

export interface WorkspaceRef {
  readonly id: string;
  readonly name: string;
  readonly ownerName: string;
  readonly buildStatus: string;
  readonly buildId: string;
  readonly transition: string;
  readonly agents: readonly AgentRef[];
}

/** Looks a workspace up by name. Rejects with ERR_NOT_FOUND, which names it. */
export async function findWorkspace(
  deployment: RestApi,
  name: Pick<WorkspaceName, "owner" | "workspace">,
  options: { readonly signal?: AbortSignal } = {},
): Promise<WorkspaceRef> {
  return workspaceOf(await fetchByName(deployment, name, options));
}

/** Like {@link findWorkspace}, but returns the deployment's whole response. */
export async function fetchByName(
  deployment: RestApi,
  name: Pick<WorkspaceName, "owner" | "workspace">,
  options: { readonly signal?: AbortSignal } = {},
): Promise<unknown> {
  const owner = name.owner ?? "me";
  const path = `/api/v2/users/${encodeURIComponent(owner)}/workspace/${encodeURIComponent(name.workspace)}`;
  try {
    return await deployment.call(path, options);
  } catch (error) {
    if (!(error instanceof ClientError) || error.code !== "ERR_NOT_FOUND") throw error;
    const full = name.owner === undefined ? name.workspace : `${name.owner}/${name.workspace}`;
    throw new ClientError("ERR_NOT_FOUND", `There is no workspace "${full}" that you may use`, {
      status: 404,
      detail: '"coder list" shows yours',
      cause: error,
    });
  }
}

export async function findAgent(
  deployment: RestApi,
  agentId: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<AgentRef> {
  return agentOf(await deployment.call(`/api/v2/workspaceagents/${agentId}`, options));
}

/** Asks how to reach agents. The answer is the same for all of a deployment, so it can be requested before the agent is known. */
export async function askConnectionInfo(
  deployment: RestApi,
  options: { readonly signal?: AbortSignal } = {},
): Promise<unknown> {
  return deployment.call("/api/v2/workspaceagents/connection", options);
}

/** The agent by name, or the only one. Rejects with an error that names the choices. */
export function chooseAgent(workspace: WorkspaceRef, name: string | undefined): AgentRef {
  const names = workspace.agents.map((agent) => agent.name).join(", ");
  if (name !== undefined) {
    const agent = workspace.agents.find((candidate) => candidate.name === name);
    if (agent !== undefined) return agent;
    throw new ClientError("ERR_NOT_FOUND", `Workspace "${workspace.name}" has no agent "${name}"`, {
      detail: names === "" ? "it has no agents" : `it has: ${names}`,
    });
  }
  const [only, ...others] = workspace.agents;
  if (only === undefined) {
    throw new ClientError("ERR_NOT_FOUND", `Workspace "${workspace.name}" has no agent to connect to`, {
      detail: `its status is "${workspace.buildStatus}"`,
    });
  }
  if (others.length === 0) return only;
  throw new ClientError("ERR_BAD_REQUEST", `Workspace "${workspace.name}" has several agents: ${names}`, {
    detail: `name one, for example ${workspace.name}.${only.name}`,
  });
}

/** Parses a workspace from REST or an event stream. Throws when it is malformed. */
export function workspaceOf(body: unknown): WorkspaceRef {
  const workspace = record(body, "workspace");
  const build = record(workspace["latest_build"], "latest_build");
  const resources = Array.isArray(build["resources"]) ? build["resources"] : [];
  return {
    id: text(workspace, "id"),
    name: text(workspace, "name"),
    ownerName: text(workspace, "owner_name"),
    buildStatus: text(build, "status"),
    buildId: text(build, "id"),
    transition: text(build, "transition"),
    agents: resources.flatMap((resource) => {
      const agents = record(resource, "resource")["agents"];
      return Array.isArray(agents) ? agents.map(agentOf) : [];
    }),
  };
}

function agentOf(body: unknown): AgentRef {
  const agent = record(body, "agent");
  const scripts = Array.isArray(agent["scripts"]) ? agent["scripts"] : [];
  const startedAt = agent["started_at"];
  const troubleshootingUrl = agent["troubleshooting_url"];
  return {
    id: text(agent, "id"),
    name: text(agent, "name"),
    status: text(agent, "status"),
    lifecycleState: text(agent, "lifecycle_state"),
    scripts: scripts.map((script) => ({ startBlocksLogin: record(script, "script")["start_blocks_login"] === true })),
    startedAt: typeof startedAt === "string" ? startedAt : undefined,
    troubleshootingUrl:
      typeof troubleshootingUrl === "string" && troubleshootingUrl !== "" ? troubleshootingUrl : undefined,
  };
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ClientError("ERR_NOT_A_CODER_SERVER", `The server's answer has no ${what}: is it a Coder deployment?`);
}

function text(from: Record<string, unknown>, field: string): string {
  const value = from[field];
  if (typeof value === "string") return value;
  throw new ClientError("ERR_NOT_A_CODER_SERVER", `The server's answer has no "${field}": is it a Coder deployment?`);
}
