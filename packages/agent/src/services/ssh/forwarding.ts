/** Port and socket forwarding of one connection (RFC 4254 §7, OpenSSH PROTOCOL §2.4), and the forwarded SSH agent. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type LookupFunction, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Logger } from "wg-userspace/base/ports";
import { ownedPipe } from "wg-userspace/io/sockets/owned-pipe";
import type { SshChannel } from "./channel.ts";
import { type ForwardedSockets, listenOwnerOnly } from "./forwarded-sockets.ts";

const DIAL_TIMEOUT_MS = 15_000;
const MAX_HOST_LENGTH = 255;
/** sun_path of Linux, with its NUL. */
const MAX_SOCKET_PATH_BYTES = 107;
/** How long the accepted connection may still deliver data after the client has closed the channel. */
const LINGER_MS = 10_000;

export type Dialer = (target: { host: string; port: number } | { path: string }) => Socket;

/** Sockets are half-open like channels. */
export function dialerOf(lookup: LookupFunction): Dialer {
  return (target) => connect({ ...target, allowHalfOpen: true, noDelay: true, lookup });
}

/** Whether the file system of an absolute path answers. */
export type Answers = (path: string) => Promise<boolean>;

/** How a listener reaches the client. Resolves with undefined when the client refuses the channel. */
export interface ChannelOpener {
  openForwardedTcp(
    bound: { address: string; port: number },
    origin: { address: string; port: number },
  ): Promise<SshChannel | undefined>;
  openForwardedSocket(path: string): Promise<SshChannel | undefined>;
  openAgent(): Promise<SshChannel | undefined>;
  openX11(origin: { address: string; port: number }): Promise<SshChannel | undefined>;
}

/** Dials for `direct-tcpip`; the error message goes to the client. */
export async function dialTcp(dial: Dialer, host: string, port: number): Promise<Socket> {
  if (host === "" || host.length > MAX_HOST_LENGTH || host.includes("\0")) throw new Error("bad host name");
  if (port < 1 || port > 0xffff) throw new Error("port out of range");
  return connected(dial({ host, port }));
}

/** Dials for `direct-streamlocal@openssh.com`. */
export async function dialSocket(dial: Dialer, path: string, answers: Answers): Promise<Socket> {
  if (!isSocketPath(path)) throw new Error("bad socket path");
  // Connecting looks the path up on the main thread.
  if (!(await answers(dirname(path)))) throw new Error("the socket's file system does not answer");
  return connected(dial({ path }));
}

/** Joins a channel and a connection. Each direction ends separately; both are closed afterwards. */
export function joinStreams(channel: SshChannel, socket: Socket): void {
  ownedPipe(channel, socket);
  const stopSending = ownedPipe(socket, channel);
  socket.on("error", () => undefined); // "close" follows
  socket.on("close", () => {
    // After a clean end the channel ends by itself, once its data is sent. After any other, what was read is sent as well: a
    // service that resets the connection behind its answer has still answered.
    if (socket.readableEnded && socket.writableFinished) return;
    channel.resume();
    channel.end(() => channel.destroy());
  });
  channel.on("close", () => {
    socket.end();
    socket.resume();
    destroyLater(socket, channel);
  });
  channel.once("peerclose", () => {
    // Received data is still passed on, but data in the other direction has no receiver any more.
    stopSending();
    socket.resume();
    channel.end();
    socket.once("finish", () => socket.destroy());
    destroyLater(socket, channel);
  });
}

function destroyLater(socket: Socket, channel: SshChannel): void {
  if (socket.closed) return;
  const linger = setTimeout(() => {
    socket.destroy();
    channel.destroy();
  }, LINGER_MS);
  linger.unref();
  socket.once("close", () => clearTimeout(linger));
}

export interface ForwardsOptions {
  readonly opener: ChannelOpener;
  readonly logger: Logger;
  readonly sockets: ForwardedSockets;
  readonly maxListeners: number;
  readonly answers: Answers;
}

/**
 * The listeners of one client. They bind loopback addresses, or sockets of this user alone, and end with the
 * connection.
 */
export class Forwards {
  readonly #options: ForwardsOptions;
  readonly #listeners = new Map<string, readonly { close(): void }[]>();
  readonly #sockets = new Set<Socket>();
  #agent: { readonly path: string; readonly directory: string } | undefined;
  #closed = false;

  constructor(options: ForwardsOptions) {
    this.#options = options;
  }

  /**
   * `tcpip-forward`. Whatever the bind address, it listens on loopback, like OpenSSH without GatewayPorts.
   * @returns The port, or undefined when it cannot be bound.
   */
  async listenTcp(bindAddress: string, port: number): Promise<number | undefined> {
    const hosts = LOOPBACK_FOR[bindAddress.toLowerCase()] ?? BOTH_LOOPBACKS;
    if (port > 0xffff || bindAddress.length > MAX_HOST_LENGTH || !this.#mayListen(`${bindAddress}:${port}`))
      return undefined;
    const servers: Server[] = [];
    let chosen = port;
    for (const host of hosts) {
      const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
      const error = await listening(server, { host, port: chosen });
      if (error !== undefined) {
        this.#options.logger.log("debug", "remote forward: cannot listen", { port: chosen, error: error.message });
        if (servers.length === 0) return undefined;
        continue; // no IPv6 here, or its port is taken: one loopback address is enough
      }
      chosen = (server.address() as { port: number }).port;
      servers.push(server);
    }
    const key = `${bindAddress}:${chosen}`;
    if (this.#closed || this.#listeners.has(key)) {
      for (const server of servers) server.close();
      return undefined;
    }
    this.#listeners.set(key, servers);
    const bound = { address: bindAddress, port: chosen };
    for (const server of servers) {
      server.on("connection", (socket) => {
        const origin = { address: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 };
        void this.#relay(socket, () => this.#options.opener.openForwardedTcp(bound, origin));
      });
    }
    return chosen;
  }

  /** `streamlocal-forward@openssh.com`. */
  async listenSocket(path: string): Promise<boolean> {
    if (!isSocketPath(path) || !(await this.#options.answers(dirname(path))) || !this.#mayListen(path)) return false;
    const listener = await this.#options.sockets.listen(path);
    if (listener === undefined) return false;
    if (this.#closed) {
      listener.close();
      return false;
    }
    this.#listeners.set(path, [listener]);
    listener.onConnection((socket) => void this.#relay(socket, () => this.#options.opener.openForwardedSocket(path)));
    return true;
  }

  cancelTcp(bindAddress: string, port: number): boolean {
    return this.#cancel(`${bindAddress}:${port}`);
  }

  cancelSocket(path: string): boolean {
    return this.#cancel(path);
  }

  /** The socket of the client's SSH agent, in a private directory; one per connection. */
  agentSocket(): string | undefined {
    if (this.#closed) return undefined;
    if (this.#agent !== undefined) return this.#agent.path;
    // The directory for temporary files may be full, read-only or missing, or its path too long for a socket.
    for (const folder of new Set([tmpdir(), "/tmp"])) {
      this.#agent = this.#listenForAgent(folder);
      if (this.#agent !== undefined) return this.#agent.path;
    }
    return undefined;
  }

  #listenForAgent(folder: string): { readonly path: string; readonly directory: string } | undefined {
    const { logger, opener } = this.#options;
    let directory: string;
    try {
      directory = mkdtempSync(join(folder, "ssh-")); // 0700
    } catch (error) {
      logger.log("warn", "no folder for the agent's socket", { folder, error: String(error) });
      return undefined;
    }
    const path = join(directory, `agent.${process.pid}`);
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
    if (!isSocketPath(path) || !listenOwnerOnly(server, path, logger)) {
      logger.log("warn", "no place for the agent's socket", { path });
      removeDirectory(directory, logger);
      return undefined;
    }
    server.on("connection", (socket) => void this.#relay(socket, () => opener.openAgent()));
    this.#listeners.set(path, [server]);
    return { path, directory };
  }

  close(): void {
    this.#closed = true;
    for (const key of [...this.#listeners.keys()]) this.#cancel(key);
    for (const socket of this.#sockets) socket.destroy();
    if (this.#agent !== undefined) removeDirectory(this.#agent.directory, this.#options.logger);
    this.#agent = undefined;
  }

  #mayListen(key: string): boolean {
    return !this.#closed && !this.#listeners.has(key) && this.#listeners.size < this.#options.maxListeners;
  }

  #cancel(key: string): boolean {
    const servers = this.#listeners.get(key);
    for (const server of servers ?? []) server.close();
    return this.#listeners.delete(key);
  }

  async #relay(socket: Socket, open: () => Promise<SshChannel | undefined>): Promise<void> {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", (error) => this.#options.logger.log("debug", "forwarded connection", { error: error.message }));
    const channel = await open();
    if (channel === undefined || socket.destroyed) {
      socket.destroy();
      channel?.destroy();
      return;
    }
    joinStreams(channel, socket);
    socket.resume();
  }
}

const BOTH_LOOPBACKS = ["127.0.0.1", "::1"] as const;
/** Loopback addresses by the requested one; other names listen on both. */
const LOOPBACK_FOR: Readonly<Record<string, readonly string[]>> = {
  "127.0.0.1": ["127.0.0.1"],
  "::1": ["::1"],
};

function isSocketPath(path: string): boolean {
  return path.startsWith("/") && !path.includes("\0") && Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES;
}

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error("connection timed out")), DIAL_TIMEOUT_MS);
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      reject(
        new Error(error.code === undefined ? error.message : (DIAL_ERRORS[error.code] ?? "cannot connect"), {
          cause: error,
        }),
      );
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

const DIAL_ERRORS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "Connection refused",
  ECONNRESET: "Connection reset by peer",
  ENOTFOUND: "Name or service not known",
  EAI_AGAIN: "Temporary failure in name resolution",
  EHOSTUNREACH: "No route to host",
  ENETUNREACH: "Network is unreachable",
  ETIMEDOUT: "Connection timed out",
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
};

function listening(server: Server, options: { host: string; port: number }): Promise<Error | undefined> {
  return new Promise((resolve) => {
    server.once("error", resolve);
    server.listen(options, () => {
      server.off("error", resolve);
      server.on("error", () => undefined); // accept failures, such as too many open files, leave the listener in place
      resolve(undefined);
    });
  });
}

/** A directory that cannot be removed, for example because the disk became read-only, must not stop anything. */
function removeDirectory(directory: string, logger: Logger): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    logger.log("warn", "the folder of the agent's socket stays", { directory, error: String(error) });
  }
}
