import { randomUUID } from "node:crypto";
import type { AgentLifecycle, AgentStatus, AgentSubsystem, LogLevel } from "coder-protocol/rest/agents";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import { withoutNul } from "../base/text.ts";
import type { NewAgentLog } from "../db/agent-logs.ts";
import { NO_MANIFEST, type StoredManifest } from "../db/agent-manifest.ts";
import { type AgentFacts, type OnlyAgents, shapeOf } from "../db/agent-reports.ts";
import type { ScriptRun } from "../db/agent-scripts.ts";
import type { Combined, LockedRow } from "../db/group-commit.ts";
import type { AgentLogSourceRow, AgentMetadataRow, AgentRow, ConnectionReportRow } from "../db/schema.ts";
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

const NO_RESULTS: ReadonlyMap<string, undefined> = new Map();
const NO_LOGS = { logs_length: 0, last_log_id: 0 };

interface Heartbeats {
  /** The ids of the connections by agent. */
  readonly connections: Map<string, string>;
  /** Resolves with the agents for which that connection is stored. */
  readonly written: Promise<ReadonlySet<string>>;
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
  /** Settles when the last heartbeats are written. */
  #heard: Promise<unknown> = Promise.resolve();

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

  /**
   * A session begins. While it answers, call `heartbeat` every 15 s. Changes nothing if another one has begun since.
   * @param tokenGeneration The generation of the agent's token. If undefined, it is not checked whether the agent may be connected.
   * @returns whether the agent may be connected.
   */
  async connected(agentId: string, apiVersion: string, id: string, tokenGeneration?: number): Promise<boolean> {
    const generation = tokenGeneration ?? null;
    const connection = { id: agentId, connection: id, version: apiVersion, at: this.#clock.now(), generation };
    const isStored = await this.#report("connected", connection, ({ agentReports }, all) =>
      agentReports.connected(all),
    );
    if (isStored) return true;
    return tokenGeneration === undefined || (await this.#store.agents.mayConnect(agentId, tokenGeneration));
  }

  /**
   * The session still answers. Does not wake watchers.
   * @returns whether this session is the stored one. It is not if another one began later, or if the database lost changes.
   */
  async heartbeat(agentId: string, connection: string): Promise<boolean> {
    this.#heartbeats ??= this.#gatherHeartbeats();
    this.#heartbeats.connections.set(agentId, connection);
    return (await this.#heartbeats.written).has(agentId);
  }

  /** A session ended. Changes nothing if another one has begun since, here or at another server. */
  async disconnected(agentId: string, connection: string): Promise<void> {
    this.#heartbeats?.connections.delete(agentId);
    this.#lifecycleStated(agentId);
    const ended = { id: agentId, connection, at: this.#clock.now() };
    await this.#report("disconnected", ended, ({ agentReports }, all) => agentReports.disconnected(all));
  }

  async startup(
    agentId: string,
    startup: { version: string; expandedDirectory: string; subsystems: readonly AgentSubsystem[] },
  ): Promise<void> {
    const facts = {
      version: startup.version.slice(0, 128),
      expanded_directory: startup.expandedDirectory.slice(0, 4096),
      subsystems: JSON.stringify([...new Set(startup.subsystems)]),
      updated_at: this.#clock.now(),
    };
    await this.#reportFacts(agentId, facts);
    this.#expectLifecycle(agentId);
  }

  /**
   * `changedAt` is the agent's own clock, in ms. Entering `starting` begins a new run of the start scripts.
   * @param hadLogs Whether there may be logs of an earlier run.
   */
  async lifecycle(agentId: string, state: AgentLifecycle, changedAt: number, hadLogs = true): Promise<void> {
    this.#lifecycleStated(agentId);
    const facts = {
      lifecycle_state: state,
      ...startTimes(state, changedAt),
      updated_at: this.#clock.now(),
    };
    if (state !== "starting") {
      await this.#reportFacts(agentId, facts);
      return;
    }
    const isDone = !hadLogs && (await this.#reportFacts(agentId, facts, NO_LOGS));
    if (!isDone) await this.#beginRun(agentId, changedAt, facts);
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

  /** The stored parts of the agent's manifest. */
  async manifest(agentId: string): Promise<StoredManifest> {
    return (await this.#store.lookups.manifest(agentId)) ?? NO_MANIFEST;
  }

  /** Does nothing if the script belongs to another agent. */
  async scriptCompleted(agentId: string, scriptId: string, run: ScriptRun): Promise<void> {
    // Of one script of this agent, so no other write can join: the id comes from the agent.
    await this.#report(`script ${agentId} ${scriptId}`, { id: agentId }, async ({ agentScripts }) => {
      const workspaceId = await agentScripts.completed(agentId, scriptId, run);
      return new Map(workspaceId === undefined ? [] : [[agentId, workspaceId]]);
    });
  }

  async updateMetadata(
    agentId: string,
    results: readonly Pick<AgentMetadataRow, "key" | "value" | "error" | "collected_at">[],
  ): Promise<void> {
    await this.#store.commits.add(rowOf(agentId), async ({ agentScripts }) => {
      for (const result of results.slice(0, MAX_METADATA_PER_UPDATE)) await agentScripts.setMetadata(agentId, result);
    });
    this.#changes.publish({ kind: "agent-metadata", agentId });
  }

  /** Records that somebody is using the workspace. Does not wake watchers. */
  async used(workspaceId: string): Promise<void> {
    const now = this.#clock.now();
    const row = { table: "workspace", id: workspaceId } as const;
    await this.#store.commits.combined(row, "used", { id: workspaceId, now }, async ({ workspaces }, all) => {
      await workspaces.touch(
        all.map(({ id }) => id),
        Math.max(...all.map((used) => used.now)),
      );
      return NO_RESULTS;
    });
  }

  async reportConnection(report: Omit<ConnectionReportRow, "id">): Promise<void> {
    await this.#store.commits.add(rowOf(report.agent_id), ({ connectionReports }) =>
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
      const now = this.#clock.now();
      const ready = { lifecycle_state: "ready", started_at: now, ready_at: now, updated_at: now };
      this.#reportFacts(agentId, ready, { lifecycle_state: "created" }).catch((error: unknown) =>
        this.#log.error({ err: error, agent: agentId }, "lifecycle not stored"),
      );
    }, this.#unstatedLifecycleMs);
    this.#unstated.set(agentId, timer.unref());
  }

  #lifecycleStated(agentId: string): void {
    clearTimeout(this.#unstated.get(agentId));
    this.#unstated.delete(agentId);
  }

  #gatherHeartbeats(): Heartbeats {
    const connections = new Map<string, string>();
    // Use the first heartbeat's time, so no agent appears fresher than it is.
    const at = this.#clock.now();
    const before = this.#heard;
    const written = new Promise<void>((resolve) => setTimeout(resolve, GATHER_HEARTBEATS_MS).unref()).then(async () => {
      // If the database is slow, the next write gathers heartbeats until this one is done.
      await before;
      this.#heartbeats = undefined;
      if (connections.size === 0) return new Set<string>();
      // Not together with other writes, because it locks many rows in an order of its own.
      return new Set(await this.#store.statement(({ agents }) => agents.heard(connections, at)));
    });
    this.#heard = written.catch(() => undefined); // those that wait for these heartbeats get the error
    return { connections, written };
  }

  async #beginRun(agentId: string, startedAt: number, facts: AgentFacts): Promise<void> {
    const workspaceId = await this.#store.commits.add(rowOf(agentId), ({ agentLogs }) =>
      agentLogs.beginRun(agentId, startedAt, facts),
    );
    this.#changed(workspaceId);
  }

  #reportFacts(agentId: string, facts: AgentFacts, only?: OnlyAgents): Promise<boolean> {
    const kind = `${shapeOf(facts)} ${JSON.stringify(only)}`;
    return this.#report(kind, { id: agentId, facts }, ({ agentReports }, all) => agentReports.facts(all, only));
  }

  /**
   * @param work Resolves with the workspaces of the agents whose rows were written.
   * @returns whether the agent's row was written.
   */
  async #report<Item extends { readonly id: string }>(
    kind: string,
    item: Item,
    work: Combined<Tables, Item, string>,
  ): Promise<boolean> {
    const workspaceId = await this.#store.commits.combined(rowOf(item.id), kind, item, work);
    this.#changed(workspaceId);
    return workspaceId !== undefined;
  }

  #changed(workspaceId: string | undefined): void {
    if (workspaceId !== undefined) this.#changes.publish({ kind: "workspace", workspaceId });
  }
}

function rowOf(agentId: string): LockedRow {
  return { table: "agent", id: agentId };
}

/** The start and end times of the start scripts when an agent enters this state; an empty result leaves both unchanged. */
function startTimes(state: AgentLifecycle, changedAt: number): Pick<AgentFacts, "started_at" | "ready_at"> {
  switch (state) {
    case "starting":
      return { started_at: changedAt, ready_at: null };
    case "ready":
    case "start_error":
    case "start_timeout":
      return { started_at: { unlessSet: changedAt }, ready_at: changedAt };
    case "created":
    case "off":
      return { started_at: null, ready_at: null };
    default:
      return {};
  }
}
