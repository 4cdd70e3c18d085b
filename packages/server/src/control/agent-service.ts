import { randomUUID } from "node:crypto";
import { durationFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes, uuidToBytes } from "coder-protocol/addresses";
import { implement, type RpcServiceImpl } from "coder-protocol/drpc/async";
import {
  Agent,
  type Connection,
  Connection_Action,
  Connection_Type,
  Lifecycle_State,
  Log_Level,
  Startup_Subsystem,
  type Stats,
  Timing_Stage,
  Timing_Status,
} from "coder-protocol/gen/agent_pb.js";
import { derpMapToProto } from "coder-protocol/tailnet/derp-map";
import type { DerpMap } from "wg-userspace/derp/map";
import type { AuthenticatedAgent } from "../auth/authenticator.ts";
import type { AppPlaceNames } from "../base/app-name.ts";
import type { StoredManifest } from "../db/agent-manifest.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { DeclaredApps } from "../workspaces/declared-apps.ts";
import { appsForManifest, reportedHealths } from "./manifest-apps.ts";
import { onceDatabaseAnswers } from "./once-database-answers.ts";

const STATS_INTERVAL_MS = 30_000;

export interface AgentServiceDeps {
  readonly agentState: AgentState;
  /** Aborted when the connection ends. */
  readonly over: AbortSignal;
  readonly declaredApps: Pick<DeclaredApps, "health">;
  readonly portProxyAddress: (place: AppPlaceNames) => string;
  readonly now: () => number;
  readonly relayMap: () => DerpMap;
  readonly disableDirectConnections: boolean;
  readonly forceWebSockets: boolean;
  readonly onConnection: (agentId: string, connection: Connection, type: string) => void;
  readonly onStats: (agentId: string, stats: Stats) => void;
}

const LIFECYCLE = {
  [Lifecycle_State.CREATED]: "created",
  [Lifecycle_State.STARTING]: "starting",
  [Lifecycle_State.START_TIMEOUT]: "start_timeout",
  [Lifecycle_State.START_ERROR]: "start_error",
  [Lifecycle_State.READY]: "ready",
  [Lifecycle_State.SHUTTING_DOWN]: "shutting_down",
  [Lifecycle_State.SHUTDOWN_TIMEOUT]: "shutdown_timeout",
  [Lifecycle_State.SHUTDOWN_ERROR]: "shutdown_error",
  [Lifecycle_State.OFF]: "off",
} as const;

const SUBSYSTEMS = {
  [Startup_Subsystem.ENVBOX]: "envbox",
  [Startup_Subsystem.ENVBUILDER]: "envbuilder",
  [Startup_Subsystem.EXECTRACE]: "exectrace",
} as const;

const CONNECTION_TYPES = {
  [Connection_Type.TYPE_UNSPECIFIED]: "unspecified",
  [Connection_Type.SSH]: "ssh",
  [Connection_Type.VSCODE]: "vscode",
  [Connection_Type.JETBRAINS]: "jetbrains",
  [Connection_Type.RECONNECTING_PTY]: "reconnecting_pty",
} as const;

const LEVELS = {
  [Log_Level.LEVEL_UNSPECIFIED]: "info",
  [Log_Level.TRACE]: "trace",
  [Log_Level.DEBUG]: "debug",
  [Log_Level.INFO]: "info",
  [Log_Level.WARN]: "warn",
  [Log_Level.ERROR]: "error",
} as const;

const STAGES = {
  [Timing_Stage.START]: "start",
  [Timing_Stage.STOP]: "stop",
  [Timing_Stage.CRON]: "cron",
} as const;

const SCRIPT_STATUSES = {
  [Timing_Status.OK]: "ok",
  [Timing_Status.EXIT_FAILURE]: "exit_failure",
  [Timing_Status.TIMED_OUT]: "timed_out",
  [Timing_Status.PIPES_LEFT_OPEN]: "pipes_left_open",
} as const;

/** The Agent service for one agent's session. Methods that are not listed are answered as unimplemented. */
export function agentService(identity: AuthenticatedAgent, deps: AgentServiceDeps): RpcServiceImpl {
  const { agent, workspace, owner } = identity;
  const { agentState } = deps;
  const hadLogs = agent.logs_length > 0 || agent.last_log_id > 0;
  const kept = <Result>(work: () => Promise<Result>): Promise<Result> => onceDatabaseAnswers(work, deps.over);
  return implement(Agent, {
    getManifest: async () => {
      const stored = await agentState.manifest(agent.id);
      return {
        ...scriptsForManifest(stored),
        ...appsForManifest(stored, deps.portProxyAddress),
        motdPath: agent.motd_file,
        agentId: uuidToBytes(agent.id),
        agentName: agent.name,
        ownerUsername: owner.username,
        workspaceId: uuidToBytes(workspace.id),
        workspaceName: workspace.name,
        directory: agent.directory,
        disableDirectConnections: deps.disableDirectConnections,
        derpForceWebsockets: deps.forceWebSockets,
        derpMap: derpMapToProto(deps.relayMap()),
      };
    },
    getServiceBanner: () => ({}),
    getAnnouncementBanners: () => ({}),
    updateStats: async (request) => {
      if (request.stats !== undefined) {
        deps.onStats(agent.id, request.stats);
        if (inUse(request.stats)) await kept(() => agentState.used(workspace.id));
      }
      return { reportInterval: durationFromMs(STATS_INTERVAL_MS) };
    },
    updateLifecycle: async (request) => {
      const lifecycle = request.lifecycle;
      const state = LIFECYCLE[(lifecycle?.state ?? 0) as keyof typeof LIFECYCLE];
      if (lifecycle !== undefined && state !== undefined) {
        const at = lifecycle.changedAt === undefined ? deps.now() : timestampMs(lifecycle.changedAt);
        await kept(() => agentState.lifecycle(agent.id, state, at, hadLogs));
      }
      return lifecycle ?? {};
    },
    updateStartup: async (request) => {
      const startup = request.startup;
      const facts = {
        version: startup?.version ?? "",
        expandedDirectory: startup?.expandedDirectory ?? "",
        subsystems: (startup?.subsystems ?? []).flatMap(
          (subsystem) => SUBSYSTEMS[subsystem as keyof typeof SUBSYSTEMS] ?? [],
        ),
      };
      await kept(() => agentState.startup(agent.id, facts));
      return startup ?? {};
    },
    batchUpdateAppHealths: async ({ updates }) => {
      await kept(() => deps.declaredApps.health(agent, reportedHealths(updates)));
      return {};
    },
    batchUpdateMetadata: async (request) => {
      const values = request.metadata.map(({ key, result }) => ({
        key,
        value: result?.value ?? "",
        error: result?.error ?? "",
        collected_at: result?.collectedAt === undefined ? deps.now() : timestampMs(result.collectedAt),
      }));
      await kept(() => agentState.updateMetadata(agent.id, values));
      return {};
    },
    batchCreateLogs: async (request) => {
      const lines = request.logs.map((log) => ({
        createdAt: log.createdAt === undefined ? deps.now() : timestampMs(log.createdAt),
        output: log.output,
        level: LEVELS[log.level] ?? "info",
      }));
      const overflowed = await kept(() => agentState.appendLogs(agent.id, uuidFromBytes(request.logSourceId), lines));
      return { logLimitExceeded: overflowed };
    },
    scriptCompleted: async ({ timing }) => {
      const id = uuidFromBytes(timing?.scriptId ?? new Uint8Array());
      if (timing === undefined || id === undefined) return {};
      const run = {
        last_started_at: timing.start === undefined ? deps.now() : timestampMs(timing.start),
        last_ended_at: timing.end === undefined ? deps.now() : timestampMs(timing.end),
        last_exit_code: timing.exitCode,
        last_stage: STAGES[timing.stage] ?? "start",
        last_status: SCRIPT_STATUSES[timing.status] ?? "exit_failure",
      } as const;
      await kept(() => agentState.scriptCompleted(agent.id, id, run));
      return {};
    },
    getResourcesMonitoringConfiguration: () => ({ config: { numDatapoints: 0, collectionIntervalSeconds: 0 } }),
    pushResourcesMonitoringUsage: () => ({}),
    reportConnection: async (request) => {
      const connection = request.connection;
      if (connection === undefined) return {};
      const report = {
        connection_id: uuidFromBytes(connection.id) ?? randomUUID(),
        agent_id: agent.id,
        action: connection.action === Connection_Action.DISCONNECT ? "disconnect" : "connect",
        type: CONNECTION_TYPES[connection.type] ?? "unspecified",
        ip: connection.ip.slice(0, 64),
        status_code: connection.statusCode,
        reason: (connection.reason ?? "").slice(0, 256),
        reported_at: connection.timestamp === undefined ? deps.now() : timestampMs(connection.timestamp),
      } as const;
      await kept(() => agentState.reportConnection(report));
      deps.onConnection(agent.id, connection, CONNECTION_TYPES[connection.type] ?? "unspecified");
      await kept(() => agentState.used(workspace.id));
      return {};
    },
  });
}

/** Whether there is any session or connection to a program, so that the workspace counts as used. */
function inUse(stats: Stats): boolean {
  return (
    stats.connectionCount > 0n ||
    stats.sessionCountSsh > 0n ||
    stats.sessionCountVscode > 0n ||
    stats.sessionCountJetbrains > 0n ||
    stats.sessionCountReconnectingPty > 0n ||
    Object.values(stats.sessionCounts).some((count) => count > 0n)
  );
}

function scriptsForManifest({ scripts, metadata }: StoredManifest) {
  return {
    scripts: scripts.map((script) => ({
      id: uuidToBytes(script.id),
      logSourceId: uuidToBytes(script.log_source_id),
      logPath: script.log_path,
      script: script.script,
      cron: script.cron,
      runOnStart: script.run_on_start === 1,
      runOnStop: script.run_on_stop === 1,
      startBlocksLogin: script.start_blocks_login === 1,
      timeout: durationFromMs(script.timeout_seconds * 1000),
      displayName: script.display_name,
    })),
    metadata: metadata.map((described) => ({
      displayName: described.display_name,
      key: described.key,
      script: described.script,
      interval: durationFromMs(described.interval_seconds * 1000),
      timeout: durationFromMs(described.timeout_seconds * 1000),
    })),
  };
}
