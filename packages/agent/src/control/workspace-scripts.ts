/** Runs the manifest's scripts from the agent's start to its end: lifecycle, output, metadata. */
import { type Duration, durationMs } from "@bufbuild/protobuf/wkt";
import { uuidFromBytes } from "coder-protocol/addresses";
import type { Manifest } from "coder-protocol/gen/agent_pb.js";
import type { Logger } from "wg-userspace/base/ports";
import { isServing } from "../host/app-check.ts";
import { schedule } from "../host/schedule.ts";
import type { SessionUser } from "../host/user.ts";
import { collectMetadata, MetadataCollector, type MetadataDescription } from "../scripts/metadata.ts";
import { type StageOutcome, StartupScripts, type WorkspaceScript } from "../scripts/startup-scripts.ts";
import { AgentReports } from "./agent-reports.ts";
import { AppHealth } from "./app-health.ts";
import type { LifecycleState } from "./control-session.ts";

/** Log source for scripts to which the deployment assigned none. */
const NIL_SOURCE = "00000000-0000-0000-0000-000000000000";

const AFTER_START: Readonly<Record<Exclude<StageOutcome, "stopped">, LifecycleState>> = {
  ok: "ready",
  failed: "start_error",
  "timed out": "start_timeout",
};

const AFTER_STOP: Readonly<Record<StageOutcome, LifecycleState>> = {
  ok: "off",
  failed: "shutdown_error",
  "timed out": "shutdown_timeout",
  stopped: "off",
};

export interface WorkspaceScriptsOptions {
  readonly user: () => SessionUser;
  readonly environment: () => Readonly<Record<string, string>>;
  readonly logDirectory: string;
  readonly logger: Logger;
  readonly onLifecycle: (state: LifecycleState) => void;
}

export class WorkspaceScripts {
  readonly reports: AgentReports;
  readonly #options: WorkspaceScriptsOptions;
  readonly #scripts: StartupScripts;
  readonly #metadata: MetadataCollector;
  readonly #apps: AppHealth;
  #manifest: Manifest | undefined;
  #stopping = false;

  constructor(options: WorkspaceScriptsOptions) {
    const { user, environment, logger } = options;
    const now = (): number => Date.now();
    this.#options = options;
    this.#metadata = new MetadataCollector({
      collect: (description, signal) => collectMetadata(description, { user: user(), environment, signal }),
      schedule,
      now,
      logger,
    });
    this.#apps = new AppHealth({ check: isServing, schedule, now });
    this.reports = new AgentReports({ metadata: this.#metadata, apps: this.#apps, logger, now });
    this.#scripts = new StartupScripts({
      user,
      environment,
      logDirectory: options.logDirectory,
      logs: this.reports.logs,
      logger,
      now,
      onCompleted: (timing) => this.reports.scriptCompleted(timing),
    });
  }

  /** Applies a manifest. The first one starts the workspace; later ones change what is collected and what runs at the end. */
  update(manifest: Manifest): void {
    const first = this.#manifest === undefined;
    this.#manifest = manifest;
    if (this.#stopping) return;
    this.#metadata.update(manifest.metadata.map(descriptionOf));
    this.#apps.update(manifest.apps);
    if (first) void this.#start(manifest);
  }

  /** Soon asks the deployment which apps are declared. */
  refreshApps(): void {
    this.#apps.refresh();
  }

  /** Runs the stop scripts once the start scripts have ended. `closing` ends open sessions. */
  async stop(closing: () => Promise<unknown>): Promise<void> {
    this.#stopping = true;
    this.#options.onLifecycle("shutting_down");
    this.#metadata.close();
    this.#apps.close();
    await Promise.all([closing(), this.#scripts.stop()]);
    const outcome = await this.#scripts.run("stop", (this.#manifest?.scripts ?? []).map(scriptOf));
    this.#options.onLifecycle(AFTER_STOP[outcome]);
  }

  /** Ends running scripts at once, when there is no time to stop them in order. */
  async abandon(): Promise<void> {
    this.#stopping = true;
    this.#metadata.close();
    this.#apps.close();
    await this.#scripts.stop();
  }

  async #start(manifest: Manifest): Promise<void> {
    this.#options.onLifecycle("starting");
    const outcome = await this.#scripts.run("start", manifest.scripts.map(scriptOf));
    if (outcome !== "stopped" && !this.#stopping) this.#options.onLifecycle(AFTER_START[outcome]);
  }
}

function scriptOf(script: Manifest["scripts"][number]): WorkspaceScript {
  return {
    id: uuidFromBytes(script.id) ?? "",
    logSourceId: uuidFromBytes(script.logSourceId) ?? NIL_SOURCE,
    displayName: script.displayName,
    script: script.script,
    logPath: script.logPath,
    cron: script.cron,
    runOnStart: script.runOnStart,
    runOnStop: script.runOnStop,
    timeoutMs: millis(script.timeout),
  };
}

function descriptionOf(description: Manifest["metadata"][number]): MetadataDescription {
  return {
    key: description.key,
    script: description.script,
    intervalMs: millis(description.interval),
    timeoutMs: millis(description.timeout),
  };
}

/** Longest delay of a timer. */
const MAX_DELAY_MS = 2 ** 31 - 1;

function millis(duration: Duration | undefined): number {
  return duration === undefined ? 0 : Math.min(Math.max(0, durationMs(duration)), MAX_DELAY_MS);
}
