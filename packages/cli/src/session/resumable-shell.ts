/**
 * A shell on a terminal of the workspace (port 2 of the tunnel) that survives this process. A stock agent keeps it for five
 * minutes, ours for as long as requested.
 */
import type { Duplex } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { EXIT } from "../errors/user-error.ts";
import { flushed, type LocalTerminal, readTerminal, type WindowSize, windowSize } from "./terminal-input.ts";

export interface ResumableShellOptions extends LocalTerminal {
  /** A connection to the terminal port; owned. */
  readonly stream: Duplex;
  /** Identifies the shell: the same id means the same shell. */
  readonly id: string;
  /** How long the agent keeps it without a viewer. */
  readonly keepMs: number;
  /** Empty for the login shell. */
  readonly command: string;
  readonly describeConnection: () => string;
  readonly onRedrawable?: (redraw: () => void) => void;
  readonly signal: AbortSignal;
}

/** `ended`: the program has exited. `left`: the user left it. `lost`: the connection is gone; the program may live on. */
export type ShellOutcome = "ended" | "left" | "lost";

export function showShell(options: ResumableShellOptions): Promise<ShellOutcome> {
  const { stream, stdout, stderr } = options;
  stream.write(firstMessage(options));
  // The wire carries text, so a character that arrives in two pieces is held until it is complete.
  const decoder = new StringDecoder("utf8");
  const send = (fields: object): boolean => stream.write(JSON.stringify(fields));
  const resize = ({ rows, columns }: WindowSize): void => void send({ height: rows, width: columns });
  return new Promise((resolve) => {
    const stopReading = readTerminal({
      terminal: options,
      pty: true,
      describeConnection: options.describeConnection,
      onLeave: () => finish("left"),
      target: {
        write: (bytes) => {
          const data = decoder.write(Buffer.from(bytes));
          return data === "" || send({ data });
        },
        onceDrained: (listener) => stream.once("drain", listener),
        // Ctrl-D is an ordinary key here; the end of our input leaves the shell running.
        end: () => finish("left"),
        resize,
      },
    });
    let finished = false;
    const finish = (outcome: ShellOutcome): void => {
      if (finished) return;
      finished = true;
      stopReading();
      stream.destroy();
      void flushed(stdout, stderr).then(() => resolve(outcome));
    };
    options.onRedrawable?.(() => {
      const size = windowSize(stdout);
      resize({ ...size, rows: size.rows - 1 });
      resize(size);
    });
    stream.once("end", () => finish("ended"));
    stream.on("error", () => finish("lost"));
    stream.once("close", () => finish("lost"));
    stream.pipe(stdout, { end: false });
  });
}

/** Length as u16, little-endian, and JSON. */
function firstMessage({ id, keepMs, command, stdout }: ResumableShellOptions): Buffer {
  const { rows, columns } = windowSize(stdout);
  const json = Buffer.from(
    JSON.stringify({
      ID: id,
      Height: rows,
      Width: columns,
      Command: command,
      Container: "",
      ContainerUser: "",
      BackendType: "",
      KeepSeconds: Math.ceil(keepMs / 1000),
    }),
  );
  if (json.length > 0xffff) throw new RangeError("the command is too long");
  const length = Buffer.alloc(2);
  length.writeUInt16LE(json.length);
  return Buffer.concat([length, json]);
}

export const SHELL_EXIT: Readonly<Record<ShellOutcome, number>> = {
  ended: EXIT.ok,
  left: EXIT.connectionLost,
  lost: EXIT.connectionLost,
};
