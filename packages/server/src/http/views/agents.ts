import type { AgentLog, AgentMetadata, AgentScript, WorkspaceAgent } from "coder-protocol/rest/agents";
import type { ShareLevel } from "coder-protocol/rest/apps";
import { ZERO_TIME } from "coder-protocol/rest/common";
import { formatTime } from "../../base/clock.ts";
import type { AgentLogRow, AgentLogSourceRow, AgentMetadataRow, AgentRow, AgentScriptRow } from "../../db/schema.ts";
import { agentStatus, DEFAULT_LOG_SOURCE_ID } from "../../workspaces/agent-state.ts";
import type { LoadedAgent } from "../../workspaces/loader.ts";
import { appView } from "./apps.ts";

/** What the coordinator currently knows about an agent. */
export interface LiveAgent {
  /** Latency to each relay region; undefined if the agent's node is unknown. */
  readonly latency: WorkspaceAgent["latency"];
  /** The addresses of the agents that compete for one token; undefined if there is no contest. */
  readonly contest: readonly string[] | undefined;
}

/** What the views of agents need besides rows. */
export interface AgentFacts {
  readonly now: number;
  readonly live: (agentId: string) => LiveAgent;
  /** The widest level that the administrator allows. */
  readonly maxShareLevel: ShareLevel;
}

/** @param browserOnly Whether the agent's owner may connect from browsers only. */
export function agentView(
  { row: agent, logSources, scripts, apps }: LoadedAgent,
  facts: AgentFacts,
  browserOnly: boolean,
): WorkspaceAgent {
  const live = facts.live(agent.id);
  const status = agentStatus(agent, facts.now);
  const reason =
    live.contest === undefined ? unhealthyReason(status, agent.lifecycle_state) : contestReason(live.contest);
  const subsystems: string[] = JSON.parse(agent.subsystems);
  const latency = status === "connected" ? live.latency : undefined;
  return {
    id: agent.id,
    parent_id: null,
    created_at: formatTime(agent.created_at),
    updated_at: formatTime(agent.updated_at),
    first_connected_at: optionalTime(agent.first_connected_at),
    last_connected_at: optionalTime(agent.last_connected_at),
    disconnected_at: optionalTime(agent.disconnected_at),
    started_at: optionalTime(agent.started_at),
    ready_at: optionalTime(agent.ready_at),
    status,
    lifecycle_state: agent.lifecycle_state as WorkspaceAgent["lifecycle_state"],
    name: agent.name,
    resource_id: agent.resource_id,
    architecture: agent.architecture,
    environment_variables: {},
    operating_system: agent.operating_system,
    logs_length: agent.logs_length,
    logs_overflowed: agent.logs_overflowed === 1,
    directory: agent.directory,
    expanded_directory: agent.expanded_directory,
    version: agent.version,
    api_version: agent.api_version,
    apps: apps.map((app) => appView(app, facts.maxShareLevel)),
    latency,
    connection_timeout_seconds: agent.connection_timeout_seconds,
    troubleshooting_url: "",
    subsystems,
    health: reason === undefined ? { healthy: true } : { healthy: false, reason },
    display_apps: browserOnly ? ["web_terminal"] : ["vscode", "web_terminal", "ssh_helper", "port_forwarding_helper"],
    log_sources: [defaultSource(agent), ...logSources].map((source) => ({
      workspace_agent_id: agent.id,
      id: source.id,
      created_at: formatTime(source.created_at),
      display_name: source.display_name,
      icon: source.icon,
    })),
    scripts: scripts.map(scriptView),
    startup_script_behavior: scripts.some((script) => script.start_blocks_login === 1) ? "blocking" : "non-blocking",
  };
}

function scriptView(script: AgentScriptRow): AgentScript {
  return {
    id: script.id,
    log_source_id: script.log_source_id,
    log_path: script.log_path,
    script: script.script,
    cron: script.cron,
    run_on_start: script.run_on_start === 1,
    run_on_stop: script.run_on_stop === 1,
    start_blocks_login: script.start_blocks_login === 1,
    timeout: script.timeout_seconds * 1e9,
    display_name: script.display_name,
    status: (script.last_status ?? undefined) as AgentScript["status"],
    exit_code: script.last_exit_code ?? undefined,
  };
}

export function agentMetadataView(metadata: AgentMetadataRow, now: number): AgentMetadata {
  const { collected_at: collected } = metadata;
  return {
    result: {
      collected_at: collected === null ? ZERO_TIME : formatTime(collected),
      age: collected === null ? 0 : Math.max(0, Math.round((now - collected) / 1000)),
      value: metadata.value,
      error: metadata.error,
    },
    description: {
      display_name: metadata.display_name,
      key: metadata.key,
      script: metadata.script,
      interval: metadata.interval_seconds,
      timeout: metadata.timeout_seconds,
    },
  };
}

function defaultSource(agent: AgentRow): AgentLogSourceRow {
  return {
    agent_id: agent.id,
    id: DEFAULT_LOG_SOURCE_ID,
    display_name: "Agent",
    icon: "",
    created_at: agent.created_at,
  };
}

function contestReason(addresses: readonly string[]): string {
  return `several agents use the token of this one (from ${addresses.join(", ")}): stop all but one`;
}

function unhealthyReason(status: WorkspaceAgent["status"], lifecycle: string): string | undefined {
  if (status !== "connected" && lifecycle === "off") return "agent is not running";
  if (status === "timeout") return "agent is taking too long to connect";
  if (status === "disconnected") return "agent has lost connection";
  if (lifecycle === "start_error") return "agent startup script exited with an error";
  if (lifecycle === "shutting_down") return "agent is shutting down";
  return undefined;
}

export function agentLogView(log: AgentLogRow): AgentLog {
  return {
    id: log.id,
    created_at: formatTime(log.created_at),
    output: log.output,
    level: log.level as AgentLog["level"],
    source_id: log.source_id,
  };
}

function optionalTime(at: number | null): string | undefined {
  return at === null ? undefined : formatTime(at);
}
