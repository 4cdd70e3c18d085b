/**
 * X11 forwarding (RFC 4254 §6.3): a display of this machine whose windows appear on the client's. Programs find it by DISPLAY and
 * authenticate with the cookie that xauth stores; the client replaces that with its own.
 */
import { accessSync, constants } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";
import type { ThreadShares } from "../../host/thread-shares.ts";
import { type Argument, startOnPipes } from "../../os/spawn.ts";
import { type ChannelOpener, joinStreams } from "./forwarding.ts";

/** Display 0 is TCP port 6000. Lower displays are left to X servers of this machine. */
const FIRST_PORT = 6000;
const FIRST_DISPLAY = 10;
const MAX_DISPLAYS = 500;
const MAX_CLIENTS = 256;
const XAUTH_TIMEOUT_MS = 10_000;

export interface X11Request {
  /** The display admits one connection only. */
  readonly single: boolean;
  readonly protocol: string;
  /** Hexadecimal. */
  readonly cookie: string;
  readonly screen: number;
}

/** Undefined if a value must not reach xauth. */
export function parseX11Request(data: unknown): X11Request | undefined {
  const { single, protocol, cookie, screen } = (data ?? {}) as Record<string, unknown>;
  const hex = Buffer.isBuffer(cookie) ? cookie.toString("latin1") : cookie;
  if (typeof protocol !== "string" || !/^[A-Za-z0-9-]{1,64}$/.test(protocol)) return undefined;
  if (typeof hex !== "string" || !/^([0-9a-fA-F]{2}){1,256}$/.test(hex)) return undefined;
  if (typeof screen !== "number" || !Number.isInteger(screen) || screen < 0 || screen > 255) return undefined;
  return { single: single === true, protocol, cookie: hex, screen };
}

/** Path of xauth in one of these folders; undefined when it is not installed, so that no program could authenticate. */
export function findXauth(folders: readonly string[]): string | undefined {
  return folders.map((folder) => join(folder, "xauth")).find(isExecutable);
}

/** The folders of PATH. */
export function programFolders(path: string | undefined): readonly string[] {
  return (path ?? "").split(":").filter((name) => name.startsWith("/"));
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Like {@link findXauth}, in the folders whose file systems answer. Rejects when there is none. */
export async function findXauthThatAnswers(
  folders: readonly string[],
  threads: Pick<ThreadShares, "silent">,
): Promise<string> {
  const silent = await threads.silent(folders);
  const xauth = findXauth(folders.filter((folder) => !silent.has(folder)));
  if (xauth === undefined) throw new Error("there is no xauth on a file system that answers");
  return xauth;
}

export interface X11Options {
  readonly request: X11Request;
  readonly xauth: string;
  readonly environment: Readonly<Record<string, Argument>>;
  readonly opener: ChannelOpener;
  readonly logger: Logger;
}

export class X11Display {
  /** Value of DISPLAY. */
  readonly name: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #forget: () => void;

  /** Rejects when there is no free display, or xauth fails. */
  static async open(options: X11Options): Promise<X11Display> {
    const { request, xauth, environment } = options;
    for (let number = FIRST_DISPLAY; number < FIRST_DISPLAY + MAX_DISPLAYS; number++) {
      const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
      if (!(await listens(server, FIRST_PORT + number))) continue;
      // As in sshd: a display of this host, whatever name DISPLAY has.
      const key = `unix:${number}.${request.screen}`;
      try {
        await runXauth(xauth, environment, `remove ${key}\nadd ${key} ${request.protocol} ${request.cookie}\n`);
      } catch (error) {
        server.close();
        throw error;
      }
      return new X11Display(options, server, `localhost:${number}.${request.screen}`, () => {
        runXauth(xauth, environment, `remove ${key}\n`).catch((error: unknown) => {
          options.logger.log("debug", "the cookie of a display could not be removed", { error: String(error) });
        });
      });
    }
    throw new Error(`the displays ${FIRST_DISPLAY} to ${FIRST_DISPLAY + MAX_DISPLAYS - 1} are all taken`);
  }

  private constructor(options: X11Options, server: Server, name: string, forget: () => void) {
    this.name = name;
    this.#server = server;
    this.#forget = forget;
    server.maxConnections = MAX_CLIENTS;
    server.on("connection", (socket) => {
      if (options.request.single) server.close();
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      socket.on("error", () => socket.destroy());
      const origin = { address: "127.0.0.1", port: socket.remotePort ?? 0 };
      void options.opener.openX11(origin).then((channel) => {
        if (channel !== undefined && !socket.destroyed) {
          joinStreams(channel, socket);
          return;
        }
        socket.destroy();
        channel?.destroy();
      });
    });
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#forget();
  }
}

function listens(server: Server, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    // Stays: a later failure to accept, such as too many open files, is not the end of the display or of the agent.
    server.on("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port }, () => resolve(true));
  });
}

async function runXauth(
  file: string,
  environment: Readonly<Record<string, Argument>>,
  commands: string,
): Promise<void> {
  const { pid, exited, stdin, stdout, stderr } = startOnPipes({
    file,
    args: ["-q", "-"],
    directory: "/",
    environment,
  });
  for (const output of [stdout, stderr]) output.on("error", () => output.destroy()).resume();
  stdin.on("error", () => undefined); // its exit code reports the failure
  const { promise: unstoppable, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      reject(error); // it has another user, or is gone without its end being known
    }
  }, XAUTH_TIMEOUT_MS);
  try {
    stdin.end(commands);
    const { code } = await Promise.race([exited, unstoppable]);
    if (code !== 0) throw new Error(`xauth ended with ${code ?? "a signal"}`);
  } finally {
    clearTimeout(timer);
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
  }
}
