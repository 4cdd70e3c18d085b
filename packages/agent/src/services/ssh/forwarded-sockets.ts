/** The unix sockets that listen for clients (`streamlocal-forward@openssh.com`), of all clients of this agent. */
import { lstatSync, renameSync, unlinkSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Logger } from "wg-userspace/base/ports";

const PROBE_TIMEOUT_MS = 2_000;
const OWNER_ONLY_UMASK = 0o177;

interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
}

export class ForwardedSockets {
  readonly #logger: Logger;
  readonly #listeners = new Map<string, SocketListener>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /**
   * Listens at the path. Replaces a socket at which nothing listens any more, and that of another client of this agent: it may be
   * the same user's lost connection. Resolves with undefined where the path has another file, or another program's socket.
   */
  async listen(path: string): Promise<SocketListener | undefined> {
    const previous = this.#listeners.get(path);
    if (previous?.owns() === true) previous.close();
    else if (!(await isFree(path))) return undefined;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    if (!listenOwnerOnly(server, path, this.#logger)) return undefined;
    const listener = new SocketListener(server, path, this.#logger, () => {
      if (this.#listeners.get(path) === listener) this.#listeners.delete(path);
    });
    this.#listeners.set(path, listener);
    return listener;
  }
}

export class SocketListener {
  readonly #server: Server;
  readonly #path: string;
  readonly #logger: Logger;
  readonly #id: FileId | undefined;
  readonly #onClose: () => void;
  #closed = false;

  constructor(server: Server, path: string, logger: Logger, onClose: () => void) {
    this.#server = server;
    this.#path = path;
    this.#logger = logger;
    this.#id = fileAt(path);
    this.#onClose = onClose;
  }

  onConnection(listener: (socket: Socket) => void): void {
    this.#server.on("connection", listener);
  }

  /** Whether the path still leads here. */
  owns(): boolean {
    return !this.#closed && same(fileAt(this.#path), this.#id);
  }

  /** Removes the socket, but not what another program has put in its place. */
  close(): void {
    if (this.#closed) return;
    const replaced = !this.owns() && fileAt(this.#path) !== undefined;
    this.#closed = true;
    this.#onClose();
    // Node removes whatever has the path of a socket that it closes, in the same call.
    const aside = `${this.#path}.${process.pid}`;
    const moved = replaced && this.#move(this.#path, aside);
    this.#server.close();
    if (moved) this.#move(aside, this.#path);
  }

  #move(from: string, to: string): boolean {
    try {
      renameSync(from, to);
      return true;
    } catch (error) {
      this.#logger.log("warn", "a socket in the place of a forwarded one could not be kept", { error: String(error) });
      return false;
    }
  }
}

/** Binding a path is synchronous, so no other process sees the socket with wider permissions. */
export function listenOwnerOnly(server: Server, path: string, logger: Logger): boolean {
  server.on("error", (error) => logger.log("debug", "socket listener", { error: error.message }));
  const previous = process.umask(OWNER_ONLY_UMASK);
  try {
    server.listen(path);
  } finally {
    process.umask(previous);
  }
  return server.listening;
}

/** Whether the path is free, after a socket at which nothing listens was removed. */
async function isFree(path: string): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return true;
  if (!found.isSocket() || (await isListening(path))) return false;
  unlinkSync(path);
  return true;
}

/** A socket about which nothing can be found out, such as another user's, counts as one that listens. */
function isListening(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const timer = setTimeout(() => settle(true), PROBE_TIMEOUT_MS);
    const settle = (listening: boolean): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(listening);
    };
    socket.once("connect", () => settle(true));
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code !== "ECONNREFUSED"));
  });
}

/** Undefined where there is nothing, or nothing can be seen. */
function fileAt(path: string): FileId | undefined {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false, bigint: true });
    return found && { dev: found.dev, ino: found.ino };
  } catch {
    return undefined; // such as a directory that may no longer be searched; what cannot be seen cannot be removed either
  }
}

function same(one: FileId | undefined, other: FileId | undefined): boolean {
  return one !== undefined && other !== undefined && one.dev === other.dev && one.ino === other.ino;
}
