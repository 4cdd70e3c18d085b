import type {
  AgentLog,
  ExternalAgentCredentials,
  ListeningPortsResponse,
  WorkspaceAgent,
} from "coder-protocol/rest/agents";
import type { PortSharesResponse, UpsertPortShareRequest } from "coder-protocol/rest/apps";
import type { SshConfig } from "coder-protocol/rest/deployment";
import type {
  CreateWorkspaceRequest,
  Transition,
  Workspace,
  WorkspaceBuild,
  WorkspacesResponse,
} from "coder-protocol/rest/workspaces";
import { call } from "./client.ts";

/** Body of GET /workspaceagents/{id}/network. */
export interface AgentNetwork {
  readonly home: { readonly region_id: number; readonly region_name: string; readonly latency_ms?: number } | null;
  readonly connections: { readonly direct: number; readonly relayed: number; readonly unknown: number };
  readonly counted_by: "agent" | "clients";
  readonly median_latency_ms?: number;
  readonly clients: readonly {
    readonly path: "direct" | "relayed" | "unknown";
    readonly endpoint?: string;
    readonly latency_ms?: number;
    readonly home_region_name?: string;
  }[];
}

export const listWorkspaces = (query: string, signal: AbortSignal) =>
  call<WorkspacesResponse>("GET", `/workspaces?q=${encodeURIComponent(query)}&limit=500`, { signal });

export const workspaceByName = (owner: string, name: string, signal: AbortSignal) =>
  call<Workspace>("GET", `/users/${encodeURIComponent(owner)}/workspace/${encodeURIComponent(name)}`, { signal });

export interface NewMachine extends Partial<Omit<CreateWorkspaceRequest, "apps">> {
  readonly name: string;
  readonly apps?: readonly { readonly slug: string; readonly display_name: string; readonly url: string }[];
}

export const createWorkspace = (request: NewMachine) =>
  call<Workspace>("POST", "/users/me/workspaces", { body: request });

export const renameWorkspace = (id: string, name: string) =>
  call<void>("PATCH", `/workspaces/${id}`, { body: { name } });

export const buildWorkspace = (id: string, transition: Transition) =>
  call<WorkspaceBuild>("POST", `/workspaces/${id}/builds`, { body: { transition } });

export const agentCredentials = (workspace: string, agent: string) =>
  call<ExternalAgentCredentials>("GET", `/workspaces/${workspace}/external-agent/${agent}/credentials`);

export const rotateCredentials = (workspace: string, agent: string) =>
  call<ExternalAgentCredentials>("POST", `/workspaces/${workspace}/external-agent/${agent}/rotate`);

export const agentById = (id: string, signal: AbortSignal) =>
  call<WorkspaceAgent>("GET", `/workspaceagents/${id}`, { signal });

export const agentNetwork = (id: string, signal: AbortSignal) =>
  call<AgentNetwork>("GET", `/workspaceagents/${id}/network`, { signal });

/** @param probe Ports whose protocol the agent finds out by connecting to their programs; "shared" for all shared ones. */
export const listeningPorts = (id: string, probe: readonly (number | "shared")[], signal: AbortSignal) =>
  call<ListeningPortsResponse>(
    "GET",
    `/workspaceagents/${id}/listening-ports?${probe.map((one) => `probe=${one}`).join("&")}`,
    { signal },
  );

export const portShares = (workspace: string, signal: AbortSignal) =>
  call<PortSharesResponse>("GET", `/workspaces/${workspace}/port-share`, { signal });

/** The level "owner" ends a share. */
export const sharePort = (workspace: string, share: UpsertPortShareRequest) =>
  call<void>("POST", `/workspaces/${workspace}/port-share`, { body: share });

export const agentLogs = (id: string, after: number, signal: AbortSignal) =>
  call<AgentLog[]>("GET", `/workspaceagents/${id}/logs?after=${after}`, { signal });

export const sshConfig = (signal: AbortSignal) => call<SshConfig>("GET", "/deployment/ssh", { signal });

export const reportUsage = (workspace: string, agent: string) =>
  call<void>("POST", `/workspaces/${workspace}/usage`, { body: { agent_id: agent, app_name: "reconnecting-pty" } });
