/** One script of the deployment as the leader of its own session: its output, its time limit, its end. */

import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { onAbort } from "wg-userspace/async/abort";
import { resolveCommand, startDirectory } from "../host/command.ts";
import { buildEnvironment } from "../host/environment.ts";
import { type ThreadShares, threadShares } from "../host/thread-shares.ts";
import type { SessionUser } from "../host/user.ts";
import { type PipedProgram, startOnPipes } from "../os/spawn.ts";

/** Time from SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 5_000;
/** How long to wait for output after the script has ended: programs it left behind may hold it open indefinitely. */
const PIPES_GRACE_MS = 10_000;
const POLL_MS = 20;
/** Exit code of a script that was killed, or whose end is unknown; the same as in SSH sessions. */
const KILLED_CODE = 255;
/** Exit code of a script that could not be started; the same as in SSH sessions. */
const START_FAILED_CODE = 229;

export interface ScriptProcess {
  readonly script: string;
  readonly user: SessionUser;
  readonly environment: Readonly<Record<string, string>>;
  /** 0: no limit. */
  readonly timeoutMs: number;
  /** Ends the script early. */
  readonly signal: AbortSignal;
  /** Told when the script does not start in the home directory. */
  readonly onMoved?: ((reason: string) => void) | undefined;
  readonly onOutput: (stream: "stdout" | "stderr", chunk: Buffer) => void;
  readonly killGraceMs?: number;
  readonly pipesGraceMs?: number;
  /** Default: those of this process. */
  readonly threads?: Pick<ThreadShares, "silent">;
}

export interface ScriptEnd {
  readonly exitCode: number;
  readonly how: "exited" | "timed out" | "stopped" | "not started";
  /** Why it could not be started. */
  readonly error?: string;
  /** Programs that the script left behind still held its output. They keep running; their output is no longer read. */
  readonly pipesLeftOpen: boolean;
}

/**
 * Runs a script with the user's shell, or the interpreter that it names, in the home directory, or in the root if
 * that cannot be entered. Never rejects. At the time limit
 * or when stopped, its process group gets SIGTERM, and after a grace period SIGKILL.
 */
export async function runScript(run: ScriptProcess): Promise<ScriptEnd> {
  if (run.signal.aborted) return { exitCode: KILLED_CODE, how: "stopped", pipesLeftOpen: false };
  const silent = await (run.threads ?? threadShares()).silent([run.user.home]);
  if (run.signal.aborted) return { exitCode: KILLED_CODE, how: "stopped", pipesLeftOpen: false };
  let program: PipedProgram;
  try {
    program = start(run, silent);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { exitCode: START_FAILED_CODE, how: "not started", error: text, pipesLeftOpen: false };
  }
  const { pid, exited, stdout, stderr } = program;
  let how: ScriptEnd["how"] = "exited";
  let ending: Promise<void> | undefined;
  const cut = (why: "timed out" | "stopped"): void => {
    if (ending !== undefined) return;
    how = why;
    ending = endGroup(-pid, run.killGraceMs ?? KILL_GRACE_MS);
  };
  const stopWatching = onAbort(run.signal, () => cut("stopped"));
  const timer = run.timeoutMs > 0 ? setTimeout(() => cut("timed out"), run.timeoutMs) : undefined;
  const outputs = [readAll(stdout, "stdout", run), readAll(stderr, "stderr", run)];
  const { code } = await exited;
  await ending;
  clearTimeout(timer);
  stopWatching();
  const pipesLeftOpen = await stillOpen(outputs, how === "exited" ? (run.pipesGraceMs ?? PIPES_GRACE_MS) : 0, run);
  stdout.destroy();
  stderr.destroy();
  return { exitCode: code ?? KILLED_CODE, how, pipesLeftOpen };
}

/** Variables of a script: those of sessions, except those that describe a connection. */
export function scriptEnvironment(
  user: SessionUser,
  workspace: Readonly<Record<string, string>>,
): Record<string, string> {
  const nowhere = { address: "", port: 0 };
  const { SSH_CLIENT, SSH_CONNECTION, ...environment } = buildEnvironment({
    inherited: process.env,
    user,
    client: {},
    workspace,
    endpoints: { remote: nowhere, local: nowhere },
  });
  return environment;
}

/** Starts the script with an empty input. */
function start(run: ScriptProcess, silent: ReadonlySet<string>): PipedProgram {
  const { user, environment } = run;
  const { path: directory, problem } = startDirectory(undefined, user.home, silent);
  if (problem !== undefined) run.onMoved?.(problem);
  const program = startOnPipes({ ...resolveCommand(user, run.script), directory, environment });
  program.stdin.on("error", () => undefined); // it has ended already
  program.stdin.end();
  return program;
}

/** Sends SIGTERM to the group, and kills what is left of it after the grace period. */
async function endGroup(group: number, graceMs: number): Promise<void> {
  send(group, "SIGTERM");
  send(group, "SIGCONT"); // a stopped program cannot act on SIGTERM
  for (let waited = 0; waited < graceMs; waited += POLL_MS) {
    await sleep(POLL_MS);
    if (!send(group, 0)) return;
  }
  send(group, "SIGKILL");
}

/** @returns whether the group has members. */
function send(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(group, signal);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ESRCH" && code !== "EPERM") throw error; // ended, or changed its user
    return code === "EPERM";
  }
}

function readAll(stream: Readable, name: "stdout" | "stderr", run: ScriptProcess): Promise<void> {
  return new Promise((resolve) => {
    stream.on("data", (chunk: Buffer) => run.onOutput(name, chunk));
    stream.on("error", () => stream.destroy()); // "close" follows
    stream.once("close", resolve);
  });
}

async function stillOpen(outputs: readonly Promise<void>[], graceMs: number, run: ScriptProcess): Promise<boolean> {
  const { promise: over, resolve } = Promise.withResolvers<true>();
  const giveUp = (): void => resolve(true);
  const timer = setTimeout(giveUp, graceMs);
  const stopWatching = onAbort(run.signal, giveUp);
  const left = await Promise.race([Promise.all(outputs).then(() => false), over]);
  clearTimeout(timer);
  stopWatching();
  return left;
}
