import { connect as connectSocket } from "node:net";
import type { Duplex, Readable, Writable } from "node:stream";
import type { AcceptConnection, Client, ClientChannel } from "ssh2";
import { EXIT, UserError } from "../errors/user-error.ts";
import { ESCAPE_HELP, EscapeFilter } from "./escape-filter.ts";
import type { RemoteForward } from "./remote-forward.ts";
import { connectSsh } from "./ssh-client.ts";

export interface SshSessionOptions {
  /** A connection to the workspace's SSH port; owned by the session. */
  readonly stream: Duplex;
  /** Absent: a login shell. */
  readonly command?: string;
  /** Ask for a terminal. Only sensible when stdin is one. */
  readonly pty: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** Socket of the agent to forward. */
  readonly agentSocket?: string;
  readonly remoteForwards: readonly RemoteForward[];
  readonly stdin: Readable & { setRawMode?: (raw: boolean) => unknown; isTTY?: boolean };
  readonly stdout: Writable & { columns?: number; rows?: number };
  readonly stderr: Writable;
  /** Words for `~#`. */
  readonly describeConnection: () => string;
  /** Aborted when the person ends it: then nothing is said about a lost connection. */
  readonly signal: AbortSignal;
}

/**
 * Runs one shell or command over SSH and returns its exit code: the remote code as it is, 255 when it was killed or the
 * connection was lost (then with one line on stderr). The terminal is as before when this returns.
 */
export async function runSshSession(options: SshSessionOptions): Promise<number> {
  const client = await connectSsh(options.stream, options.agentSocket);
  try {
    await requestForwards(client, options);
    return await runChannel(client, options);
  } finally {
    client.end();
    options.stream.destroy();
  }
}

async function requestForwards(client: Client, options: SshSessionOptions): Promise<void> {
  if (options.remoteForwards.length === 0) return;
  const byOrigin = new Map<string, RemoteForward>();
  client.on("tcp connection", (details, accept) => {
    bridge(byOrigin.get(`tcp:${details.destPort}`), accept, options.stderr);
  });
  client.on("unix connection", (details, accept) => {
    bridge(byOrigin.get(`unix:${details.socketPath}`), accept, options.stderr);
  });
  for (const forward of options.remoteForwards) {
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null, port?: number): void => {
        if (error) {
          reject(
            new UserError(`The workspace refused to forward ${forward.text}`, { why: error.message, cause: error }),
          );
          return;
        }
        if (forward.remote.kind === "unix") byOrigin.set(`unix:${forward.remote.path}`, forward);
        else byOrigin.set(`tcp:${forward.remote.port === 0 ? port : forward.remote.port}`, forward);
        resolve();
      };
      if (forward.remote.kind === "unix") client.openssh_forwardInStreamLocal(forward.remote.path, done);
      else client.forwardIn(forward.remote.host, forward.remote.port, done);
    });
  }
}

function bridge(forward: RemoteForward | undefined, accept: AcceptConnection, stderr: Writable): void {
  const channel = accept();
  if (forward === undefined) {
    channel.close();
    return;
  }
  const { local } = forward;
  const socket = local.kind === "unix" ? connectSocket({ path: local.path }) : connectSocket(local.port, local.host);
  socket.on("error", (error) => {
    stderr.write(`coder: cannot forward to ${forward.text}: ${error.message}\r\n`);
    channel.close();
  });
  channel.on("error", () => socket.destroy());
  channel.on("close", () => socket.destroy());
  socket.pipe(channel).pipe(socket);
}

function runChannel(client: Client, options: SshSessionOptions): Promise<number> {
  const pty = options.pty
    ? {
        term: process.env["TERM"] ?? "xterm-256color",
        rows: options.stdout.rows ?? 24,
        cols: options.stdout.columns ?? 80,
      }
    : false;
  const env = { ...options.environment };
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, channel: ClientChannel): void => {
      // At once: the whole life of a short command may be in the bytes that are being read.
      if (error === undefined || error === null) resolve(attach(client, channel, options));
      else reject(new UserError("The workspace refused the session", { why: error.message, cause: error }));
    };
    const agentForward = options.agentSocket === undefined ? {} : { agentForward: true };
    if (options.command === undefined) client.shell(pty, { env, ...agentForward }, done);
    else client.exec(options.command, { ...(pty === false ? {} : { pty }), env, ...agentForward }, done);
  });
}

function attach(client: Client, channel: ClientChannel, options: SshSessionOptions): Promise<number> {
  const { stdin, stdout, stderr } = options;
  const raw = options.pty && stdin.isTTY === true && stdin.setRawMode !== undefined;
  return new Promise((resolve) => {
    let code: number | undefined;
    let left = false;
    const escapes = new EscapeFilter((action) => {
      if (action === "help") stderr.write(`\r\n${ESCAPE_HELP}\r\n`);
      else if (action === "status") stderr.write(`\r\n${options.describeConnection()}\r\n`);
      else if (action === "suspend") suspend();
      else leave();
    });
    const onData = (typed: Buffer): void => {
      const bytes = raw ? escapes.feed(typed) : typed;
      if (bytes.length > 0 && !channel.write(bytes)) {
        stdin.pause();
        channel.once("drain", () => stdin.resume());
      }
    };
    const onEnd = (): void => {
      channel.end();
    };
    const onResize = (): void => {
      channel.setWindow(stdout.rows ?? 24, stdout.columns ?? 80, 0, 0);
    };
    const suspend = (): void => {
      stdin.setRawMode?.(false);
      process.once("SIGCONT", () => stdin.setRawMode?.(true));
      process.kill(process.pid, "SIGTSTP");
    };
    const leave = (): void => {
      left = true;
      finish(EXIT.connectionLost);
    };
    let finished = false;
    const finish = (exit: number): void => {
      if (finished) return;
      finished = true;
      stdin.off("data", onData);
      stdin.off("end", onEnd);
      stdin.pause();
      if (raw) stdin.setRawMode?.(false);
      stdout.off("resize", onResize);
      if (left) stderr.write("\r\nConnection to the workspace closed by ~.\r\n");
      resolve(exit);
    };

    channel.on("exit", (status: number | null) => {
      code = status ?? EXIT.connectionLost;
    });
    channel.on("close", () => {
      if (code === undefined && !left && !options.signal.aborted)
        stderr.write("Connection to the workspace was lost\r\n");
      void flushed(stdout, stderr).then(() => finish(code ?? EXIT.connectionLost));
    });
    client.on("error", () => channel.destroy());
    channel.on("error", () => undefined); // "close" follows and says what happened
    channel.pipe(stdout, { end: false });
    channel.stderr.pipe(stderr, { end: false });
    if (raw) stdin.setRawMode?.(true);
    if (options.pty) stdout.on("resize", onResize);
    stdin.on("data", onData);
    stdin.on("end", onEnd);
  });
}

/** Output that a slow reader has not taken yet must not be cut off by the end of the process. */
async function flushed(...streams: readonly Writable[]): Promise<void> {
  await Promise.all(streams.map((stream) => new Promise<void>((done) => stream.write("", () => done()))));
}
