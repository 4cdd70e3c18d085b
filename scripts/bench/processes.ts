/** Child processes of a bench: each is started here, driven by JSON lines, and ended by its own handle. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** Longer than any single measurement. */
const ANSWER_WITHIN_MS = 60_000;

export interface WorkerOptions {
  /** Path of another program to run instead of Node; the script is then only its name. */
  readonly program?: string | undefined;
  /** Runs inside this network namespace. */
  readonly namespace?: string | undefined;
  /** Runs at the highest priority: time spent waiting for a processor is not what is measured. */
  readonly realTime?: boolean | undefined;
  /** Folder to which a CPU profile is written when the worker ends. */
  readonly profileFolder?: string | undefined;
  readonly nodeFlags?: readonly string[] | undefined;
  /** Added to our own environment. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

/** A Node script of this folder, or another program, that answers one JSON line per request. */
export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #name: string;

  constructor(script: string, options: WorkerOptions = {}) {
    this.#name = script;
    const flags = [...(options.nodeFlags ?? [])];
    if (options.profileFolder !== undefined) {
      flags.push("--cpu-prof", `--cpu-prof-dir=${options.profileFolder}`, "--cpu-prof-interval=500");
    }
    const command =
      options.program === undefined
        ? [process.execPath, ...flags, `${import.meta.dirname}/${script}`]
        : [options.program];
    if (options.realTime === true) command.unshift("chrt", "--rr", "1");
    const [program, ...args] =
      options.namespace === undefined ? command : ["ip", "netns", "exec", options.namespace, ...command];
    const env = { ...process.env, ...options.environment };
    this.#child = spawn(program!, args, { stdio: ["pipe", "pipe", "inherit"], env });
    this.#child.stdin!.on("error", () => undefined); // a worker that has ended shows in the missing answer
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async ask<Answer>(request: Readonly<Record<string, unknown>>, withinMs = ANSWER_WITHIN_MS): Promise<Answer> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const deadline = setTimeout(() => this.#child.kill("SIGKILL"), withinMs);
    const line = await this.#lines.next();
    clearTimeout(deadline);
    if (line.done === true)
      throw new Error(`${this.#name} ended, or was ended, instead of answering "${request["do"]}"`);
    const answer = JSON.parse(line.value) as { error?: string };
    if (answer.error !== undefined) throw new Error(`${this.#name}: ${answer.error}`);
    return answer as Answer;
  }

  /** Closing its input asks the worker to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.#child, () => this.#child.stdin!.end());
  }
}

/** Ends a process that was started here: by SIGTERM, then by SIGKILL. */
export async function endProcess(child: ChildProcess, ask: () => void = () => child.kill("SIGTERM")): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  ask();
  const force = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(force);
}

/** Serves one JSON line per request until the input ends: the other side of {@link Worker}. */
export async function answerRequests(
  handlers: Readonly<Record<string, (request: Readonly<Record<string, unknown>>) => Promise<object>>>,
): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: object;
    try {
      const request = JSON.parse(line) as Record<string, unknown>;
      const handler = handlers[String(request["do"])];
      if (handler === undefined) throw new Error(`unknown request "${request["do"]}"`);
      answer = await handler(request);
    } catch (error) {
      answer = { error: String((error as Error).stack) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

/** Which of the tools are not installed here. */
export function missingPrograms(...programs: readonly string[]): string[] {
  return programs.filter((program) => {
    try {
      execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
      return false;
    } catch {
      return true;
    }
  });
}
