import { terminalModes } from "coder-agent/os/terminal-device";
import type { Client, ClientChannel, PseudoTtyOptions, X11Options } from "ssh2";
import { onAbort } from "wg-userspace/async/abort";
import { ownedPipe } from "wg-userspace/io/sockets/owned-pipe";
import { EXIT, UserError } from "../errors/user-error.ts";
import { flushed, type LocalTerminal, readTerminal, type WindowSize, windowSize } from "./terminal-input.ts";

export interface SshSessionOptions extends LocalTerminal {
  readonly client: Client;
  /** When absent, a login shell runs. */
  readonly command?: string | undefined;
  /** Request a terminal. Only useful when stdin is one. */
  readonly pty: boolean;
  readonly environment: Readonly<Record<string, string>>;
  /** The client has an SSH agent to forward. */
  readonly agentForward: boolean;
  /** Requests a display whose windows appear here. */
  readonly x11?: X11Options | undefined;
  /** The text for `~#`. */
  readonly describeConnection: () => string;
  /** Receives a function that makes full-screen programs redraw. */
  readonly onRedrawable?: (redraw: () => void) => void;
  /** Aborted when the user or the workspace ends the session; no lost connection is reported then. */
  readonly signal: AbortSignal;
  /** Resolves once the workspace would have said that it ended the session. A lost connection is not reported before that. */
  readonly untilReasonKnown: () => Promise<void>;
}

export interface SessionEnd {
  /** The program's own exit code, or 255 when it was killed or the connection was lost. */
  readonly code: number;
  /** The program exited, or the user left it. */
  readonly orderly: boolean;
}

/**
 * Runs one shell or command over SSH. Reports a lost connection in one line on stderr. The terminal is restored when this
 * resolves.
 */
export function runSshSession(options: SshSessionOptions): Promise<SessionEnd> {
  const { client } = options;
  const pty = options.pty ? ptyRequest(options) : false;
  const env = { ...options.environment };
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, channel: ClientChannel): void => {
      // Attach at once: a short command's whole output may be in the bytes that are being read.
      if (error === undefined || error === null) resolve(attach(client, channel, options));
      else if (options.x11 !== undefined && /X11/.test(error.message)) {
        reject(
          new UserError("The workspace refused to forward X11", {
            why: "it has no xauth, or its agent does not forward X11",
            next: ["install xauth in the workspace"],
            code: "ERR_X11_REFUSED",
            cause: error,
          }),
        );
      } else reject(new UserError("The workspace refused the session", { why: error.message, cause: error }));
    };
    const forwarded = { agentForward: options.agentForward, x11: options.x11 ?? false };
    if (options.command === undefined) client.shell(pty, { env, ...forwarded }, done);
    else client.exec(options.command, { pty, env, ...forwarded }, done);
  });
}

/** Makes the remote terminal behave as the local one: erase and interrupt keys, echo, line ends, flow control, UTF-8. */
function ptyRequest({ stdin, stdout }: LocalTerminal): Partial<PseudoTtyOptions> {
  const modes = stdin.isTTY === true && stdin.fd !== undefined ? terminalModes(stdin.fd) : undefined;
  const { rows, columns: cols, width, height } = windowSize(stdout);
  const request = { term: process.env["TERM"] ?? "xterm-256color", rows, cols, width, height };
  return modes === undefined ? request : { ...request, modes };
}

function attach(client: Client, channel: ClientChannel, options: SshSessionOptions): Promise<SessionEnd> {
  const { stdout, stderr } = options;
  return new Promise((resolve) => {
    let code: number | undefined;
    let killed = false;
    let left = false;
    let finished = false;
    let stopWatching: (() => void) | undefined;
    const resize = ({ rows, columns, height, width }: WindowSize): void =>
      channel.setWindow(rows, columns, height, width);
    const stopReading = readTerminal({
      terminal: options,
      pty: options.pty,
      describeConnection: options.describeConnection,
      onLeave: () => {
        left = true;
        finish(EXIT.connectionLost);
      },
      target: {
        write: (bytes, written) => channel.write(bytes, written),
        onceDrained: (listener) => channel.once("drain", listener),
        end: () => channel.end(),
        resize,
      },
    });
    const finish = (exit: number): void => {
      if (finished) return;
      finished = true;
      stopWatching?.();
      stopReading();
      if (left) stderr.write("\r\nConnection to the workspace closed by ~.\r\n");
      resolve({ code: exit, orderly: left || (code !== undefined && !killed) });
    };
    // Neither unread output nor a workspace that no longer answers may delay the end.
    const hangUp = (): void => {
      channel.close();
      finish(EXIT.connectionLost);
    };
    stopWatching = onAbort(options.signal, hangUp);
    options.onRedrawable?.(() => {
      // A program is notified only when the size changes.
      const size = windowSize(stdout);
      resize({ ...size, rows: size.rows - 1 });
      resize(size);
    });
    channel.on("exit", (status: number | null) => {
      killed = status === null;
      code = status ?? EXIT.connectionLost;
    });
    const closed = async (): Promise<void> => {
      if (code === undefined && !left && !options.signal.aborted) {
        await options.untilReasonKnown();
        if (!finished) stderr.write("Connection to the workspace was lost\r\n");
      }
      await flushed(stdout, stderr);
      finish(code ?? EXIT.connectionLost);
    };
    channel.on("close", () => void closed());
    client.on("error", () => channel.destroy());
    channel.on("error", () => undefined); // "close" follows and reports what happened
    ownedPipe(channel, stdout, { end: false });
    ownedPipe(channel.stderr, stderr, { end: false });
  });
}
