/** The forwards of `coder ssh` (-L, -D and -R) over the session's own SSH connection. They end with it. */

import { once } from "node:events";
import { connect as connectSocket, createServer, type Server, type Socket } from "node:net";
import type { Duplex, Writable } from "node:stream";
import { CHANNELS_PER_SSH_CONNECTION } from "coder-protocol/tunnel-ports";
import type { AcceptConnection, Client } from "ssh2";
import type { Logger } from "wg-userspace/base/ports";
import { printable } from "../base/text.ts";
import { dialSocketThrough, dialThrough } from "../connection/ssh-client.ts";
import { UserError } from "../errors/user-error.ts";
import { ForwardPlaces } from "../forwarding/forward-places.ts";
import { listenAddresses, listenFailure } from "../forwarding/listen.ts";
import type { DynamicForward, LocalForward } from "../forwarding/local-forward.ts";
import { type SocksTarget, serveSocks } from "../forwarding/socks.ts";
import { joined, reasonOf, TcpForward } from "../forwarding/tcp-forward.ts";
import type { RemoteForward } from "./remote-forward.ts";

export interface SshForwardsOptions {
  readonly local: readonly LocalForward[];
  readonly dynamic: readonly DynamicForward[];
  readonly remote: readonly RemoteForward[];
  readonly stderr: Writable;
  readonly logger: Logger;
}

/**
 * Listens here and in the workspace. If any cannot, rejects with a UserError that names the first, and ends the others.
 * @returns A function that ends them.
 */
export async function startForwards(client: Client, options: SshForwardsOptions): Promise<() => void> {
  const closers: (() => void)[] = [];
  const close = (): void => {
    for (const closer of closers) closer();
  };
  // One channel is used by the session.
  const places = new ForwardPlaces(CHANNELS_PER_SSH_CONNECTION - 1);
  const say = (line: string): void => void options.stderr.write(`coder: ${printable(line)}\r\n`);
  try {
    for (const { bind, port, target } of options.local) {
      const to = target.kind === "unix" ? { port: 0 } : target;
      const forward = new TcpForward({
        spec: { protocol: "tcp", bind, port, target: to },
        targetName: target.kind === "unix" ? target.path : undefined,
        dial: () =>
          target.kind === "unix"
            ? dialSocketThrough(client, target.path)
            : dialThrough(client, target.host, target.port),
        say,
        logger: options.logger,
        places,
      });
      await forward.start();
      closers.push(() => forward.close());
    }
    for (const { bind, port } of options.dynamic) {
      const socks = { dial: (target: SocksTarget) => dialThrough(client, target.host, target.port), places, say };
      closers.push(...(await listenSocks(bind, port, { ...socks, logger: options.logger })));
    }
    await requestRemote(client, options.remote, say);
  } catch (error) {
    close();
    throw error;
  }
  return close;
}

interface SocksOptions {
  readonly dial: (target: SocksTarget) => Promise<Duplex>;
  readonly places: ForwardPlaces;
  readonly say: (line: string) => void;
  readonly logger: Logger;
}

async function listenSocks(bind: string | undefined, port: number, options: SocksOptions): Promise<(() => void)[]> {
  const closers: (() => void)[] = [];
  for (const { host, required } of listenAddresses(bind)) {
    const server: Server = createServer({ allowHalfOpen: true, noDelay: true });
    server.listen({ host, port });
    try {
      await once(server, "listening");
    } catch (error) {
      if (!required) continue;
      for (const close of closers) close();
      throw listenFailure("tcp", host, port, error as Error);
    }
    const clients = new Set<Socket>();
    server.on("connection", (socket) => acceptSocks(socket, port, clients, options));
    closers.push(() => {
      server.close();
      for (const socket of clients) socket.destroy();
    });
  }
  return closers;
}

function acceptSocks(socket: Socket, port: number, clients: Set<Socket>, options: SocksOptions): void {
  const { dial, places, say, logger } = options;
  const release = places.take();
  if (release === undefined) {
    places.reportFull(port, say);
    socket.destroy();
    return;
  }
  clients.add(socket);
  socket.once("close", () => {
    clients.delete(socket);
    release();
  });
  serveSocks(socket, dial).catch((error: unknown) => {
    logger.log("debug", "SOCKS client ended", { error: reasonOf(error) });
  });
}

async function requestRemote(
  client: Client,
  forwards: readonly RemoteForward[],
  say: (line: string) => void,
): Promise<void> {
  if (forwards.length === 0) return;
  const byOrigin = new Map<string, RemoteForward>();
  client.on("tcp connection", (details, accept) => {
    bridge(byOrigin.get(`tcp:${details.destIP}:${details.destPort}`), accept, say);
  });
  client.on("unix connection", (details, accept) => {
    const forward = byOrigin.get(`unix:${details.socketPath}`);
    // It may belong to another kind of forward on this connection.
    if (forward !== undefined) bridge(forward, accept, say);
  });
  for (const forward of forwards) {
    await new Promise<void>((resolve, reject) => {
      const done = (error?: Error | null, port?: number): void => {
        if (error) {
          reject(
            new UserError(`The workspace refused to forward ${forward.text}`, { why: error.message, cause: error }),
          );
          return;
        }
        if (forward.remote.kind === "unix") byOrigin.set(`unix:${forward.remote.path}`, forward);
        else {
          const { host, port: wanted } = forward.remote;
          byOrigin.set(`tcp:${host}:${wanted === 0 ? port : wanted}`, forward);
          if (wanted === 0) say(`the workspace listens on port ${port} for ${forward.text}`);
        }
        resolve();
      };
      if (forward.remote.kind === "unix") client.openssh_forwardInStreamLocal(forward.remote.path, done);
      else client.forwardIn(forward.remote.host, forward.remote.port, done);
    });
  }
}

function bridge(forward: RemoteForward | undefined, accept: AcceptConnection, say: (line: string) => void): void {
  const channel = accept();
  if (forward === undefined) {
    channel.close();
    return;
  }
  const { local } = forward;
  const target = local.kind === "unix" ? { path: local.path } : { port: local.port, host: local.host };
  const socket = connectSocket({ ...target, allowHalfOpen: true });
  socket.on("error", (error) => say(`cannot forward to ${forward.text}: ${error.message}`));
  channel.on("error", () => undefined); // "close" follows
  joined(socket, channel)
    .catch(() => socket.destroy()) // either end may break off
    .finally(() => channel.close());
}
