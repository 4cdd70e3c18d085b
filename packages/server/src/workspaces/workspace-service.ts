import { randomUUID } from "node:crypto";
import type {
  CreateWorkspaceRequest,
  NewAgentMetadata,
  NewAgentScript,
  Transition,
} from "coder-protocol/rest/workspaces";
import type { AccessChanges } from "../auth/access-changes.ts";
import { deriveAgentToken, hashSecret } from "../auth/tokens.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import type {
  AgentMetadataRow,
  AgentRow,
  AgentScriptRow,
  UserRow,
  WorkspaceBuildRow,
  WorkspaceRow,
} from "../db/schema.ts";
import type { DeploymentIds, Store } from "../db/store.ts";
import { agentStatus } from "./agent-state.ts";
import type { Changes } from "./changes.ts";
import { type DeclaredApps, firstAppRows } from "./declared-apps.ts";

export const DEFAULT_AGENT_NAME = "main";
export const MAX_WORKSPACES_PER_USER = 1000;
/** An agent that has not connected after this time is reported as `timeout`. */
const CONNECTION_TIMEOUT_SECONDS = 120;

/**
 * Workspaces without a provisioner. Nothing is built: a start build records that the agent may connect, a stop build that it may
 * not, and both are complete at once. The owner decides what runs on the machine.
 */
export class WorkspaceService {
  readonly #store: Store;
  readonly #agentTokenKey: Uint8Array;
  readonly #deployment: DeploymentIds;
  readonly #accessChanges: AccessChanges;
  readonly #changes: Changes;
  readonly #clock: WallClock;
  readonly #apps: Pick<DeclaredApps, "checkLevel">;

  constructor(options: {
    store: Store;
    agentTokenKey: Uint8Array;
    deployment: DeploymentIds;
    accessChanges: AccessChanges;
    changes: Changes;
    clock: WallClock;
    apps: Pick<DeclaredApps, "checkLevel">;
  }) {
    this.#store = options.store;
    this.#agentTokenKey = options.agentTokenKey;
    this.#deployment = options.deployment;
    this.#accessChanges = options.accessChanges;
    this.#changes = options.changes;
    this.#clock = options.clock;
    this.#apps = options.apps;
  }

  /** Registers a workspace with one agent. */
  async create(owner: UserRow, initiator: UserRow, request: CreateWorkspaceRequest): Promise<WorkspaceRow> {
    this.#checkTemplate(request);
    for (const { sharing_level: level } of request.apps ?? []) this.#apps.checkLevel(level);
    const now = this.#clock.now();
    const workspaceId = randomUUID();
    const agentId = randomUUID();
    await this.#store.transaction(async ({ users, workspaces, builds, agents, agentLogs, agentScripts, apps }) => {
      await users.lock(owner.id);
      if ((await users.byId(owner.id)) === undefined) throw notFound();
      if ((await workspaces.byOwnerAndName(owner.id, request.name)) !== undefined) throw nameTaken(request.name);
      if ((await workspaces.countOf(owner.id)) >= MAX_WORKSPACES_PER_USER) {
        throw new DomainError("limit-reached", `A user may have at most ${MAX_WORKSPACES_PER_USER} workspaces`);
      }
      await workspaces.insert({
        id: workspaceId,
        owner_id: owner.id,
        name: request.name,
        ttl_ms: request.ttl_ms ?? null,
        autostart_schedule: request.autostart_schedule ?? null,
        created_at: now,
        updated_at: now,
        last_used_at: now,
      });
      await builds.append(build(workspaceId, "start", "initiator", initiator.id, now));
      await agents.insert({
        id: agentId,
        workspace_id: workspaceId,
        resource_id: randomUUID(),
        name: request.agent_name ?? DEFAULT_AGENT_NAME,
        token_generation: 1,
        token_hash: hashSecret(deriveAgentToken(this.#agentTokenKey, agentId, 1)),
        operating_system: request.agent_os ?? "linux",
        architecture: request.agent_arch ?? "amd64",
        directory: request.agent_directory ?? "",
        motd_file: request.agent_motd_file ?? "",
        connection_timeout_seconds: CONNECTION_TIMEOUT_SECONDS,
        ...awaited(now),
        version: "",
        api_version: "",
        expanded_directory: "",
        subsystems: "[]",
        logs_length: 0,
        logs_overflowed: 0,
      });
      const scripts = (request.agent_scripts ?? []).map((script, position) => scriptRow(agentId, position, script));
      await agentScripts.insert(scripts);
      for (const script of scripts) {
        await agentLogs.addSource({
          agent_id: agentId,
          id: script.log_source_id,
          display_name: script.display_name,
          icon: "",
          created_at: now,
        });
      }
      await apps.insert(firstAppRows(request.apps ?? [], { agentId, workspaceId, now }));
      await agentScripts.insertMetadata(
        (request.agent_metadata ?? []).map((described, position) => metadataRow(agentId, position, described)),
      );
    });
    const workspace = await this.#store.workspaces.byId(workspaceId);
    if (workspace === undefined) throw new Error("a workspace vanished right after it was stored");
    this.#changes.publish({ kind: "workspace", workspaceId });
    return workspace;
  }

  /** Starts, stops or deletes. Stopping and deleting end the agent's session. */
  async transition(
    workspace: WorkspaceRow,
    initiator: UserRow,
    request: { transition: Transition; reason: string },
  ): Promise<WorkspaceBuildRow> {
    const now = this.#clock.now();
    const row = await this.#accessChanges.transaction(async ({ workspaces, builds, agents }, ends) => {
      await workspaces.lock(workspace.id);
      const current = await workspaces.byId(workspace.id);
      if (current === undefined || current.deleted_at !== null) {
        throw new DomainError("deleted", `Workspace "${workspace.name}" was deleted`);
      }
      const appended = await builds.append(build(workspace.id, request.transition, request.reason, initiator.id, now));
      const rows = (await agents.ofWorkspace(workspace.id)).sort(byId);
      if (request.transition !== "start") {
        for (const agent of rows) {
          if (agent.last_connected_at !== null)
            await agents.update(agent.id, { disconnected_at: now, updated_at: now });
        }
      } else {
        for (const agent of rows) {
          if (agentStatus(agent, now) !== "connected") await agents.update(agent.id, awaited(now));
        }
      }
      const ended = { workspaceId: workspace.id, agentIds: rows.map((agent) => agent.id) };
      if (request.transition === "stop") ends({ kind: "workspace-stopped", ...ended });
      if (request.transition === "delete") {
        await workspaces.markDeleted(workspace.id, now);
        ends({ kind: "workspace-deleted", ...ended });
      }
      return appended;
    });
    this.#changes.publish({ kind: "workspace", workspaceId: workspace.id });
    return row;
  }

  async rename(workspace: WorkspaceRow, name: string): Promise<void> {
    await this.#store.transaction(async ({ users, workspaces }) => {
      await users.lock(workspace.owner_id);
      const taken = await workspaces.byOwnerAndName(workspace.owner_id, name);
      if (taken !== undefined && taken.id !== workspace.id) throw nameTaken(name);
      await workspaces.rename(workspace.id, name, this.#clock.now());
    });
    this.#changes.publish({ kind: "workspace", workspaceId: workspace.id });
  }

  /** The agent's token, which is derived each time and never stored. */
  agentToken(agent: AgentRow): string {
    return deriveAgentToken(this.#agentTokenKey, agent.id, agent.token_generation);
  }

  /** Invalidates the old token, ends the agent's session and returns the new token. */
  async rotateAgentToken(agentId: string): Promise<string> {
    return await this.#accessChanges.transaction(async ({ agents }, ends) => {
      await agents.lock(agentId);
      const agent = await agents.byId(agentId);
      if (agent === undefined) throw new DomainError("not-found", "The agent is gone");
      const generation = agent.token_generation + 1;
      const next = deriveAgentToken(this.#agentTokenKey, agentId, generation);
      await agents.setToken(agentId, { generation, hash: hashSecret(next) }, this.#clock.now());
      ends({ kind: "agent-token-rotated", agentId });
      return next;
    });
  }

  #checkTemplate(request: CreateWorkspaceRequest): void {
    const template = request.template_id ?? "";
    const version = request.template_version_id ?? "";
    if (template !== "" && template !== this.#deployment.templateId) throw unknownTemplate("template_id", template);
    if (version !== "" && version !== this.#deployment.templateVersionId) {
      throw unknownTemplate("template_version_id", version);
    }
  }
}

/**
 * Fields of an agent for which a start build waits. Stock servers create a new agent for every build, and clients wait for that
 * one to connect. So reports of the previous run are cleared, and the connection time-out starts now.
 */
function awaited(now: number) {
  return {
    created_at: now,
    updated_at: now,
    first_connected_at: null,
    last_connected_at: null,
    disconnected_at: null,
    lifecycle_state: "created",
    started_at: null,
    ready_at: null,
  };
}

function build(
  workspaceId: string,
  transition: Transition,
  reason: string,
  initiatorId: string,
  now: number,
): Omit<WorkspaceBuildRow, "build_number"> {
  return {
    id: randomUUID(),
    workspace_id: workspaceId,
    transition,
    reason,
    initiator_id: initiatorId,
    created_at: now,
    completed_at: now,
  };
}

function scriptRow(agentId: string, position: number, script: NewAgentScript): AgentScriptRow {
  return {
    id: randomUUID(),
    agent_id: agentId,
    position,
    log_source_id: randomUUID(),
    display_name: script.display_name,
    log_path: script.log_path,
    script: script.script,
    cron: script.cron,
    run_on_start: script.run_on_start ? 1 : 0,
    run_on_stop: script.run_on_stop ? 1 : 0,
    start_blocks_login: script.start_blocks_login ? 1 : 0,
    timeout_seconds: script.timeout_seconds,
    last_started_at: null,
    last_ended_at: null,
    last_exit_code: null,
    last_stage: null,
    last_status: null,
  };
}

function metadataRow(agentId: string, position: number, described: NewAgentMetadata): AgentMetadataRow {
  return {
    agent_id: agentId,
    key: described.key,
    position,
    display_name: described.display_name || described.key,
    script: described.script,
    interval_seconds: described.interval_seconds,
    timeout_seconds: described.timeout_seconds,
    value: "",
    error: "",
    collected_at: null,
  };
}

/** The order in which every transaction locks agents. */
function byId(a: AgentRow, b: AgentRow): number {
  return a.id < b.id ? -1 : 1;
}

function nameTaken(name: string): DomainError {
  return new DomainError("taken", `Workspace "${name}" already exists.`, {
    validations: [{ field: "name", detail: "This value is already in use and should be unique." }],
  });
}

function unknownTemplate(field: string, id: string): DomainError {
  return new DomainError("invalid", `Template "${id}" doesn't exist.`, {
    validations: [{ field, detail: "template not found" }],
  });
}
