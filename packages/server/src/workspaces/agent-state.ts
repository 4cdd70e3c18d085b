import { randomUUID } from "node:crypto";
import type { AgentLifecycle, AgentStatus, AgentSubsystem, LogLevel } from "coder-protocol/rest/agents";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { withoutNul } from "../base/text.ts";
import type { NewAgentLog } from "../db/agent-logs.ts";
import type { ScriptRun } from "../db/agent-scripts.ts";
import type {
  AgentLogSourceRow,
  AgentMetadataRow,
  AgentRow,
  AgentScriptRow,
  ConnectionReportRow,
} from "../db/schema.ts";
import type { Store, Tables } from "../db/store.ts";
import type { Changes } from "./changes.ts";

/** An agent whose last heartbeat is older counts as disconnected: two missed 15 s pings and some slack. */
export const AGENT_INACTIVE_AFTER_MS = 45_000;

/** Heartbeats of many agents are written together: with thousands of agents, one commit for each would stall the whole server. */
const GATHER_HEARTBEATS_MS = 500;

/** An agent that starts reports "starting" immediately. One that reports no state for this long was started earlier. */
const UNSTATED_LIFECYCLE_MS = 10_000;

/** Upper bound; the API accepts fewer. */
const MAX_METADATA_PER_UPDATE = 256;

/** The source of log lines for which the agent named none. */
export const DEFAULT_LOG_SOURCE_ID = "3b579bf4-1ed8-4b99-87a8-e9a1e3410410";

/** The status shown to clients. */
export function agentStatus(agent: AgentRow, now: number): AgentStatus {
  const { first_connected_at: first, last_connected_at: last, disconnected_at: gone } = agent;
  if (first === null || last === null) {
    const limit = agent.connection_timeout_seconds * 1000;
    return limit > 0 && now - agent.created_at > limit ? "timeout" : "connecting";
  }
  if (gone !== null && gone >= last) return "disconnected";
  return now - last > AGENT_INACTIVE_AFTER_MS ? "disconnected" : "connected";
}

/** A log line in the form in which the agent sends it. */
export interface AgentLogLine {
  readonly createdAt: number;
  readonly output: string;
  readonly level: LogLevel;
}

interface Heartbeats {
  readonly agentIds: Set<string>;
  readonly written: Promise<void>;
}

/**
 * Stores what an agent reports about itself and wakes the watchers of its workspace. The agent's session calls this; every
 * promise resolves when the report is durable.
 */
export class AgentState {
  readonly #store: Store;
  readonly #changes: Changes;
  readonly #clock: WallClock;
  readonly #log: Logger;
  readonly #unstatedLifecycleMs: number;
  readonly #unstated = new Map<string, NodeJS.Timeout>();
  #heartbeats: Heartbeats | undefined;

  constructor(options: {
    store: Store;
    changes: Changes;
    clock: WallClock;
    log: Logger;
    unstatedLifecycleMs?: number | undefined;
  }) {
    this.#log = options.log;
    this.#store = options.store;
    this.#changes = options.changes;
    this.#clock = options.clock;
    this.#unstatedLifecycleMs = options.unstatedLifecycleMs ?? UNSTATED_LIFECYCLE_MS;
  }

  /** A session begins. While it answers, call `heartbeat` every 15 s. */
  async connected(agentId: string, apiVersion: string, connectionId: string): Promise<void> {
    await this.#update(agentId, async (agent, { agents }) => {
      const now = this.#clock.now();
      await agents.update(agentId, {
        first_connected_at: agent.first_connected_at ?? now,
        last_connected_at: now,
        disconnected_at: null,
        connection_id: connectionId,
        api_version: apiVersion,
        updated_at: now,
      });
    });
  }

  /** The session still answers. Does not wake watchers. */
  async heartbeat(agentId: string): Promise<void> {
    this.#heartbeats ??= this.#gatherHeartbeats();
    this.#heartbeats.agentIds.add(agentId);
    await this.#heartbeats.written;
  }

  /** A session ended. Changes nothing if another one has begun since, here or at another server. */
  async disconnected(agentId: string, connectionId: string): Promise<void> {
    this.#heartbeats?.agentIds.delete(agentId);
    this.#lifecycleStated(agentId);
    await this.#update(agentId, async (agent, { agents }) => {
      if (agent.first_connected_at === null) return; // a session from before the build
      if (agent.connection_id !== connectionId) return;
      const now = this.#clock.now();
      await agents.update(agentId, { disconnected_at: now, updated_at: now });
    });
  }

  async startup(
    agentId: string,
    startup: { version: string; expandedDirectory: string; subsystems: readonly AgentSubsystem[] },
  ): Promise<void> {
    await this.#update(agentId, async (_agent, { agents }) => {
      await agents.update(agentId, {
        version: startup.version.slice(0, 128),
        expanded_directory: startup.expandedDirectory.slice(0, 4096),
        subsystems: JSON.stringify([...new Set(startup.subsystems)]),
        updated_at: this.#clock.now(),
      });
    });
    this.#expectLifecycle(agentId);
  }

  /** `changedAt` is the agent's own clock, in ms. Entering `starting` begins a new run of the start scripts. */
  async lifecycle(agentId: string, state: AgentLifecycle, changedAt: number): Promise<void> {
    this.#lifecycleStated(agentId);
    await this.#update(agentId, async (agent, { agents, agentLogs }) => {
      if (state === "starting") await agentLogs.beginRun(agentId, changedAt);
      await agents.update(agentId, {
        lifecycle_state: state,
        ...startTimes(state, changedAt, agent),
        updated_at: this.#clock.now(),
      });
    });
  }

  /** Returns whether the limit is reached, in which case the agent should stop sending. */
  async appendLogs(agentId: string, sourceId: string | undefined, lines: readonly AgentLogLine[]): Promise<boolean> {
    const source = sourceId ?? DEFAULT_LOG_SOURCE_ID;
    const logs: NewAgentLog[] = lines.map((line) => ({
      sourceId: source,
      level: line.level,
      output: withoutNul(line.output),
      createdAt: line.createdAt,
    }));
    const { stored, overflowed } = await this.#store.transaction(({ agentLogs }) => agentLogs.append(agentId, logs));
    if (stored.length > 0) this.#changes.publish({ kind: "agent-logs", agentId, logs: stored });
    return overflowed;
  }

  /** Undefined if the agent has too many log sources. */
  async addLogSource(
    agentId: string,
    source: { id?: string | undefined; displayName: string; icon: string },
  ): Promise<AgentLogSourceRow | undefined> {
    const row: AgentLogSourceRow = {
      agent_id: agentId,
      id: source.id ?? randomUUID(),
      display_name: source.displayName,
      icon: source.icon,
      created_at: this.#clock.now(),
    };
    const added = await this.#store.transaction(({ agentLogs }) => agentLogs.addSource(row));
    return added ? row : undefined;
  }

  /** The scripts of the agent's manifest. */
  async scripts(agentId: string): Promise<{ scripts: AgentScriptRow[]; metadata: AgentMetadataRow[] }> {
    const { agentScripts } = this.#store;
    return { scripts: await agentScripts.list(agentId), metadata: await agentScripts.metadata(agentId) };
  }

  async scriptCompleted(agentId: string, scriptId: string, run: ScriptRun): Promise<void> {
    await this.#update(agentId, (_agent, { agentScripts }) => agentScripts.completed(agentId, scriptId, run));
  }

  async updateMetadata(
    agentId: string,
    results: readonly Pick<AgentMetadataRow, "key" | "value" | "error" | "collected_at">[],
  ): Promise<void> {
    await this.#store.commits.add(async ({ agentScripts }) => {
      for (const result of results.slice(0, MAX_METADATA_PER_UPDATE)) await agentScripts.setMetadata(agentId, result);
    });
    this.#changes.publish({ kind: "agent-metadata", agentId });
  }

  /** Records that somebody is using the workspace. Does not wake watchers. */
  async used(workspaceId: string): Promise<void> {
    const now = this.#clock.now();
    await this.#store.commits.add(({ workspaces }) => workspaces.touch(workspaceId, now));
  }

  async reportConnection(report: Omit<ConnectionReportRow, "id">): Promise<void> {
    await this.#store.commits.add(({ connectionReports }) =>
      connectionReports.append({ ...report, reason: report.reason.slice(0, 1024), ip: report.ip.slice(0, 64) }),
    );
  }

  /** Cancels pending work. */
  close(): void {
    for (const timer of this.#unstated.values()) clearTimeout(timer);
    this.#unstated.clear();
  }

  /**
   * An agent whose process outlived a stop and a start of its workspace does not report its lifecycle again. It is running, so it
   * is considered ready; if it stayed "created", clients would wait for it.
   */
  #expectLifecycle(agentId: string): void {
    this.#lifecycleStated(agentId);
    const timer = setTimeout(() => {
      this.#unstated.delete(agentId);
      this.#update(agentId, async (agent, { agents }) => {
        if (agent.lifecycle_state !== "created") return;
        const now = this.#clock.now();
        await agents.update(agentId, { lifecycle_state: "ready", started_at: now, ready_at: now, updated_at: now });
      }).catch((error: unknown) => this.#log.error({ err: error, agent: agentId }, "lifecycle not stored"));
    }, this.#unstatedLifecycleMs);
    this.#unstated.set(agentId, timer.unref());
  }

  #lifecycleStated(agentId: string): void {
    clearTimeout(this.#unstated.get(agentId));
    this.#unstated.delete(agentId);
  }

  #gatherHeartbeats(): Heartbeats {
    const agentIds = new Set<string>();
    // Use the first heartbeat's time, so no agent appears fresher than it is.
    const at = this.#clock.now();
    const written = new Promise<void>((resolve) => setTimeout(resolve, GATHER_HEARTBEATS_MS).unref()).then(async () => {
      this.#heartbeats = undefined;
      if (agentIds.size > 0) await this.#store.commits.add(({ agents }) => agents.heard([...agentIds], at));
    });
    return { agentIds, written };
  }

  /** Does nothing for an agent that no longer exists. */
  async #update(agentId: string, work: (agent: AgentRow, tables: Tables) => Promise<void>): Promise<void> {
    const agent = await this.#store.commits.add(async (tables) => {
      const found = await tables.agents.locked(agentId);
      if (found !== undefined) await work(found, tables);
      return found;
    });
    if (agent !== undefined) this.#changes.publish({ kind: "workspace", workspaceId: agent.workspace_id });
  }
}

/** The start and end times of the start scripts when an agent enters this state; an empty result leaves both unchanged. */
function startTimes(
  state: AgentLifecycle,
  changedAt: number,
  agent: AgentRow,
): Partial<Pick<AgentRow, "started_at" | "ready_at">> {
  switch (state) {
    case "starting":
      return { started_at: changedAt, ready_at: null };
    case "ready":
    case "start_error":
    case "start_timeout":
      return { started_at: agent.started_at ?? changedAt, ready_at: changedAt };
    case "created":
    case "off":
      return { started_at: null, ready_at: null };
    default:
      return {};
  }
}
