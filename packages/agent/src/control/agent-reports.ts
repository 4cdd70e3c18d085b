/**
 * What is reported to the deployment: output and exit of scripts, the workspace's metadata, clients, and the health of apps.
 * Outlives connections.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { uuidToBytes } from "coder-protocol/addresses";
import type { RpcSession } from "coder-protocol/drpc/async";
import { Agent, Log_Level, Timing_Stage, Timing_Status } from "coder-protocol/gen/agent_pb.js";
import { sleep } from "wg-userspace/async/abort";
import { Bell } from "wg-userspace/async/bell";
import type { Logger, LogLevel } from "wg-userspace/base/ports";
import type { MetadataCollector } from "../scripts/metadata.ts";
import { ScriptLogs } from "../scripts/script-logs.ts";
import type { ScriptTiming } from "../scripts/startup-scripts.ts";
import type { AppHealth } from "./app-health.ts";
import { ConnectionReports } from "./connection-reports.ts";
import { isUnknownRpc } from "./unknown-rpc.ts";

/** Lines and results that arrive within this time are sent together. */
const GATHER_MS = 100;
/** The oldest are dropped first. Only a long time without a connection can let this many runs pile up. */
const MAX_TIMINGS = 256;

const LEVELS: Readonly<Record<LogLevel, Log_Level>> = {
  trace: Log_Level.TRACE,
  debug: Log_Level.DEBUG,
  info: Log_Level.INFO,
  warn: Log_Level.WARN,
  error: Log_Level.ERROR,
};

const STAGES = { start: Timing_Stage.START, stop: Timing_Stage.STOP } as const;

const STATUSES: Readonly<Record<ScriptTiming["status"], Timing_Status>> = {
  ok: Timing_Status.OK,
  failed: Timing_Status.EXIT_FAILURE,
  "timed out": Timing_Status.TIMED_OUT,
  "pipes left open": Timing_Status.PIPES_LEFT_OPEN,
};

export class AgentReports {
  readonly logs = new ScriptLogs();
  readonly connections: ConnectionReports;
  readonly #metadata: MetadataCollector;
  readonly #apps: AppHealth;
  readonly #logger: Logger;
  readonly #now: () => number;
  readonly #timings: ScriptTiming[] = [];
  readonly #timingAdded = new Bell();
  /** Servers before version 2.3 have no call for the results of scripts. */
  #timingsUnsupported = false;

  constructor(options: {
    readonly metadata: MetadataCollector;
    readonly apps: AppHealth;
    readonly logger: Logger;
    readonly now: () => number;
  }) {
    this.#metadata = options.metadata;
    this.#apps = options.apps;
    this.#logger = options.logger;
    this.#now = options.now;
    this.connections = new ConnectionReports(options);
  }

  /** Whether something is pending that should still be sent before the agent stops. */
  get unsent(): boolean {
    return !this.logs.isEmpty || this.#timings.length > 0 || this.connections.unsent;
  }

  scriptCompleted(timing: ScriptTiming): void {
    if (this.#timingsUnsupported) return;
    this.#timings.push(timing);
    if (this.#timings.length > MAX_TIMINGS) this.#timings.shift();
    this.#timingAdded.ring();
  }

  /**
   * Sends reports over one connection until the signal aborts; rejects when a report fails, which the next connection then
   * repeats.
   */
  send(rpc: RpcSession, signal: AbortSignal): readonly Promise<void>[] {
    return [
      this.#sendLogs(rpc, signal),
      this.#sendTimings(rpc, signal),
      this.#sendMetadata(rpc, signal),
      this.connections.send(rpc, signal),
      ...this.#apps.send(rpc, signal),
    ];
  }

  async #sendLogs(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.logs.isEmpty) {
        await this.logs.changed(signal);
        await sleep(GATHER_MS, signal);
      }
      const batch = this.logs.next();
      if (batch === undefined) continue;
      const answer = await rpc.unary(
        Agent.method.batchCreateLogs,
        {
          logSourceId: uuidToBytes(batch.sourceId),
          logs: batch.lines.map(({ atMs, level, output }) => ({
            createdAt: timestampFromMs(atMs),
            output,
            level: LEVELS[level],
          })),
        },
        { signal },
      );
      this.logs.confirm(batch, { limitExceeded: answer.logLimitExceeded, nowMs: this.#now() });
      if (answer.logLimitExceeded)
        this.#logger.log("warn", "the deployment keeps no more script output; the log files have it");
    }
  }

  async #sendTimings(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const timing = this.#timings[0];
      if (timing === undefined) {
        await this.#timingAdded.next(signal);
        continue;
      }
      try {
        await rpc.unary(
          Agent.method.scriptCompleted,
          {
            timing: {
              scriptId: uuidToBytes(timing.id),
              start: timestampFromMs(timing.startedAtMs),
              end: timestampFromMs(timing.endedAtMs),
              exitCode: timing.exitCode,
              stage: STAGES[timing.stage],
              status: STATUSES[timing.status],
            },
          },
          { signal },
        );
      } catch (error) {
        if (!isUnknownRpc(error)) throw error;
        this.#timingsUnsupported = true;
        this.#timings.length = 0;
        continue;
      }
      if (this.#timings[0] === timing) this.#timings.shift();
    }
  }

  async #sendMetadata(rpc: RpcSession, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#metadata.unreported().length === 0) {
        await this.#metadata.changed(signal);
        await sleep(GATHER_MS, signal);
      }
      const results = this.#metadata.unreported();
      if (results.length === 0) continue;
      await rpc.unary(
        Agent.method.batchUpdateMetadata,
        {
          metadata: results.map(({ key, collectedAtMs, value, error }) => ({
            key,
            result: {
              collectedAt: timestampFromMs(collectedAtMs),
              age: BigInt(Math.max(0, Math.round((this.#now() - collectedAtMs) / 1000))),
              value,
              error,
            },
          })),
        },
        { signal },
      );
      this.#metadata.confirm(results);
    }
  }
}
