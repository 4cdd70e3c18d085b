/** The deployment's scripts for the start and stop of a workspace: all scripts of a stage in parallel, each with its log file. */
import { closeSync, constants, mkdirSync, openSync, writeFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";
import type { SessionUser } from "../host/user.ts";
import { LineSplitter, type ScriptLogs } from "./script-logs.ts";
import { runScript, type ScriptEnd, type ScriptProcess, scriptEnvironment } from "./script-process.ts";

/** Limit of a script's log file, which contains only the latest run. */
const MAX_LOG_FILE_BYTES = 64 * 1024 * 1024;
const MAX_SCRIPTS = 64;
/** Limit for stop scripts without one of their own, because stopping the agent waits for them. */
const STOP_LIMIT_MS = 5 * 60_000;

export interface WorkspaceScript {
  /** UUIDs; empty when the deployment assigned none. */
  readonly id: string;
  readonly logSourceId: string;
  readonly displayName: string;
  readonly script: string;
  /** File for the output: relative to the log directory, may begin with `~` and use variables. */
  readonly logPath: string;
  readonly cron: string;
  readonly runOnStart: boolean;
  readonly runOnStop: boolean;
  /** 0: no limit. */
  readonly timeoutMs: number;
}

export type ScriptStage = "start" | "stop";
export type StageOutcome = "ok" | "failed" | "timed out" | "stopped";

/** The outcome of one run, as the deployment records it. */
export interface ScriptTiming {
  readonly id: string;
  readonly stage: ScriptStage;
  /** Wall clock, ms. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly exitCode: number;
  readonly status: "ok" | "failed" | "timed out" | "pipes left open";
}

export interface StartupScriptsOptions {
  readonly user: () => SessionUser;
  /** Workspace variables, evaluated for every script. */
  readonly environment: () => Readonly<Record<string, string>>;
  readonly logDirectory: string;
  readonly logs: ScriptLogs;
  readonly logger: Logger;
  /** Wall clock, ms. */
  readonly now: () => number;
  readonly onCompleted: (timing: ScriptTiming) => void;
  readonly limits?: Pick<ScriptProcess, "killGraceMs" | "pipesGraceMs">;
}

export class StartupScripts {
  readonly #options: StartupScriptsOptions;
  readonly #running = new Map<Promise<unknown>, AbortController>();

  constructor(options: StartupScriptsOptions) {
    this.#options = options;
  }

  /** Runs the scripts of the stage in parallel. Never rejects. In the result a failure takes precedence over a time-out. */
  async run(stage: ScriptStage, scripts: readonly WorkspaceScript[]): Promise<StageOutcome> {
    const { logger } = this.#options;
    if (stage === "start") {
      for (const script of scripts) {
        if (script.cron === "") continue;
        logger.log("warn", "this agent does not run scripts on a schedule", {
          script: script.displayName,
          cron: script.cron,
        });
      }
    }
    const wanted = scripts.filter((script) => (stage === "start" ? script.runOnStart : script.runOnStop));
    if (wanted.length > MAX_SCRIPTS)
      logger.log("error", "too many scripts, running the first ones", { given: wanted.length, run: MAX_SCRIPTS });
    const outcomes = await Promise.all(wanted.slice(0, MAX_SCRIPTS).map((script) => this.#track(stage, script)));
    const order: readonly StageOutcome[] = ["failed", "timed out", "stopped"];
    return order.find((outcome) => outcomes.includes(outcome)) ?? "ok";
  }

  /** Ends the running scripts; programs they left behind keep running. Resolves when the scripts are gone. */
  async stop(): Promise<void> {
    const running = [...this.#running];
    for (const [, cancel] of running) cancel.abort();
    await Promise.all(running.map(([run]) => run));
  }

  #track(stage: ScriptStage, script: WorkspaceScript): Promise<StageOutcome> {
    const cancel = new AbortController();
    const run = this.#run(stage, script, cancel.signal);
    this.#running.set(run, cancel);
    return run.finally(() => this.#running.delete(run));
  }

  async #run(stage: ScriptStage, script: WorkspaceScript, signal: AbortSignal): Promise<StageOutcome> {
    const { environment, logs, logger, now, limits } = this.#options;
    const user = this.#options.user();
    if (script.script.trim() === "") return "ok"; // with an empty command the shell would start as a login shell
    const name = script.displayName || script.id || "script";
    const variables = scriptEnvironment(user, environment());
    const file = this.#openLog(script, variables);
    const say = (level: "info" | "warn" | "error", output: string): void =>
      logs.add(script.logSourceId, { atMs: now(), level, output });
    const lines = {
      stdout: new LineSplitter((line) => say("info", line)),
      stderr: new LineSplitter((line) => say("error", line)),
    };
    logger.log("info", "script started", { script: name, stage });
    const startedAtMs = now();
    const end = await runScript({
      script: script.script,
      user,
      environment: variables,
      timeoutMs: script.timeoutMs > 0 ? script.timeoutMs : stage === "stop" ? STOP_LIMIT_MS : 0,
      signal,
      onMoved: (reason) => {
        say("error", reason);
        file?.write(Buffer.from(`${reason}\n`));
      },
      onOutput: (stream, chunk) => {
        file?.write(chunk);
        lines[stream].push(chunk);
      },
      ...limits,
    });
    const endedAtMs = now();
    lines.stdout.end();
    lines.stderr.end();
    const last = lastWords(end, script, stage);
    if (last !== undefined) {
      say(last.level, last.text);
      file?.write(Buffer.from(`${last.text}\n`));
    }
    file?.close();
    const status = statusOf(end);
    logger.log(status === "ok" ? "info" : "warn", "script ended", {
      script: name,
      stage,
      status,
      exitCode: end.exitCode,
      ms: endedAtMs - startedAtMs,
      error: end.error,
    });
    if (script.id !== "") {
      this.#options.onCompleted({ id: script.id, stage, startedAtMs, endedAtMs, exitCode: end.exitCode, status });
    }
    if (end.how === "stopped") return "stopped";
    return status === "failed" || status === "timed out" ? status : "ok";
  }

  /** Undefined, after logging the reason, when there can be no file; the script runs without one. */
  #openLog(script: WorkspaceScript, variables: Readonly<Record<string, string>>): LogFile | undefined {
    const path = this.#logPath(script, variables);
    try {
      mkdirSync(this.#options.logDirectory, { recursive: true, mode: 0o700 });
      // In a directory to which others may write, a link could lead anywhere.
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
      // Opening a named pipe would wait for its reader, and the agent with it.
      const flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
      return new LogFile(openSync(path, flags, 0o600), (error) =>
        this.#options.logger.log("warn", "a script's log file is incomplete", { path, error }),
      );
    } catch (error) {
      this.#options.logger.log("warn", "a script's log file cannot be written", { path, error: String(error) });
      return undefined;
    }
  }

  #logPath(script: WorkspaceScript, variables: Readonly<Record<string, string>>): string {
    const { user, logDirectory } = this.#options;
    if (script.logPath === "") return join(logDirectory, `coder-script-${script.logSourceId || script.id}.log`);
    const expanded = script.logPath
      .replace(/^~(?=$|\/)/, user().home)
      .replace(/\$(?:\{(\w+)\}|(\w+))/g, (_, braced?: string, bare?: string) => variables[braced ?? bare ?? ""] ?? "");
    return isAbsolute(expanded) ? expanded : join(logDirectory, expanded);
  }
}

class LogFile {
  readonly #fd: number;
  readonly #onError: (error: string) => void;
  #left = MAX_LOG_FILE_BYTES;

  constructor(fd: number, onError: (error: string) => void) {
    this.#fd = fd;
    this.#onError = onError;
  }

  write(chunk: Buffer): void {
    if (this.#left <= 0) return;
    try {
      writeFileSync(this.#fd, chunk); // unlike writeSync, it goes on after a part
      this.#left -= chunk.length;
      if (this.#left <= 0) this.#onError(`it has ${MAX_LOG_FILE_BYTES} bytes`);
    } catch (error) {
      this.#left = 0;
      this.#onError(String(error));
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function statusOf(end: ScriptEnd): ScriptTiming["status"] {
  if (end.how === "timed out") return "timed out";
  if (end.how !== "exited" || end.exitCode !== 0) return "failed";
  return end.pipesLeftOpen ? "pipes left open" : "ok";
}

/** A last line about what the script's own output does not show. */
function lastWords(
  end: ScriptEnd,
  script: WorkspaceScript,
  stage: ScriptStage,
): { level: "warn" | "error"; text: string } | undefined {
  if (end.how === "not started") return { level: "error", text: `The script could not be started: ${end.error}` };
  if (end.how === "stopped") return { level: "warn", text: "The script was ended because the workspace is stopping." };
  if (end.how === "timed out") {
    const limit = script.timeoutMs > 0 ? script.timeoutMs : STOP_LIMIT_MS;
    return { level: "error", text: `The script was ended: it took longer than its limit of ${limit / 1000} s.` };
  }
  if (end.exitCode !== 0) return { level: "error", text: `The ${stage} script failed with exit code ${end.exitCode}.` };
  if (!end.pipesLeftOpen) return undefined;
  return {
    level: "warn",
    text: "The script has ended, but a program that it started still holds its output, which is no longer read. Start such programs with their output redirected: command >/dev/null 2>&1 &",
  };
}
