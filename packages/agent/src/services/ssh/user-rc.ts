/**
 * The script that sshd runs before a command or a shell: ~/.ssh/rc, else /etc/ssh/sshrc (sshd(8), SSHRC). Users have it link the
 * socket of their forwarded agent to a fixed place, for example.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { ResolvedCommand } from "../../host/command.ts";
import { type Argument, startOnPipes } from "../../os/spawn.ts";

const SHELL = "/bin/sh";
/** How long to wait for output after the script has ended: programs that it left behind may hold it open. */
const OUTPUT_GRACE_MS = 200;

export interface UserRcRun {
  readonly file: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, Argument>>;
  readonly stdout: Writable;
  readonly stderr: Writable;
  readonly onStarted: (pid: number) => void;
  readonly onEnded: (pid: number) => void;
}

/** @param home Undefined if its file system does not answer. */
export function findUserRc(home: string | undefined): string | undefined {
  const own = home === undefined ? [] : [join(home, ".ssh", "rc")];
  return existsSync(SHELL) ? [...own, "/etc/ssh/sshrc"].find((path) => existsSync(path)) : undefined;
}

/**
 * On a terminal the script runs in the kernel session of the program, as with sshd: the terminal is its controlling one, and what
 * it leaves behind lives as long as the session. A shell runs it, then becomes the program. Not every sh can name a program.
 */
const THEN_PROGRAM = `
/bin/sh "$0" </dev/null
name=$1; shift
if (exec -a x true) 2>/dev/null; then exec -a "$name" "$@"; fi
if command -v bash >/dev/null 2>&1; then exec bash -c 'exec -a "$0" "$@"' "$name" "$@"; fi
case $name in -*) exec "$@" -l;; esac
exec "$@"
`;

/** The command behind the user's script, for a terminal. */
export function afterUserRc(file: string, { file: program, name = program, args }: ResolvedCommand): ResolvedCommand {
  return { file: SHELL, args: ["-c", THEN_PROGRAM, file, name, program, ...args] };
}

/** Resolves when the script has ended, whatever its exit code, with a function that stops reading its output. */
export async function runUserRc(run: UserRcRun): Promise<() => void> {
  const { file, directory, environment } = run;
  const program = startOnPipes({ file: SHELL, args: [file], directory, environment });
  const { pid, exited, stdin, stdout, stderr } = program;
  run.onStarted(pid);
  stdin.on("error", () => undefined); // it may have ended already
  stdin.end();
  const stops = [forward(stdout, run.stdout), forward(stderr, run.stderr)];
  const read = Promise.all([stdout, stderr].map((stream) => new Promise((resolve) => stream.once("close", resolve))));
  await exited;
  run.onEnded(pid);
  const { promise: grace, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, OUTPUT_GRACE_MS);
  await Promise.race([read, grace]);
  clearTimeout(timer);
  return () => {
    for (const stop of stops) stop();
  };
}

function forward(source: Readable, sink: Writable): () => void {
  source.on("error", () => source.destroy());
  source.pipe(sink, { end: false });
  return () => {
    source.unpipe(sink);
    source.destroy();
  };
}
