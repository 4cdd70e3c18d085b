/**
 * The script that sshd runs before a command or a shell: ~/.ssh/rc, else /etc/ssh/sshrc (sshd(8), SSHRC). Users have it link the
 * socket of their forwarded agent to a fixed place, for example.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Readable, Transform, type Writable } from "node:stream";
import { type Argument, startOnPipes } from "../../os/spawn.ts";

/** How long to wait for output after the script has ended: programs that it left behind may hold it open. */
const OUTPUT_GRACE_MS = 200;

export interface UserRcRun {
  readonly file: string;
  readonly directory: string;
  readonly environment: Readonly<Record<string, Argument>>;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Lines end as on a terminal, with CR LF. */
  readonly onTerminal: boolean;
  readonly onStarted: (pid: number) => void;
  readonly onEnded: (pid: number) => void;
}

/** @param home Undefined if its file system does not answer. */
export function findUserRc(home: string | undefined): string | undefined {
  const own = home === undefined ? [] : [join(home, ".ssh", "rc")];
  return [...own, "/etc/ssh/sshrc"].find((path) => existsSync(path));
}

/** Resolves when the script has ended, whatever its exit code, with a function that stops reading its output. */
export async function runUserRc(run: UserRcRun): Promise<() => void> {
  const { file, directory, environment } = run;
  const program = startOnPipes({ file: "/bin/sh", args: [file], directory, environment });
  const { pid, exited, stdin, stdout, stderr } = program;
  run.onStarted(pid);
  stdin.on("error", () => undefined); // it may have ended already
  stdin.end();
  const stops = [forward(stdout, run.stdout, run.onTerminal), forward(stderr, run.stderr, run.onTerminal)];
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

function forward(source: Readable, sink: Writable, onTerminal: boolean): () => void {
  source.on("error", () => source.destroy());
  const lines = onTerminal ? source.pipe(lineEnds()) : source;
  lines.pipe(sink, { end: false });
  return () => {
    lines.unpipe(sink);
    source.destroy();
  };
}

function lineEnds(): Transform {
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) =>
      done(null, Buffer.from(chunk.toString("latin1").replaceAll("\n", "\r\n"), "latin1")),
  });
}
