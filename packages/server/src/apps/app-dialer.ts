/** The server's own connections to the programs of workspaces. They are opened only for an {@link AppDecision}. */

import type { Duplex } from "node:stream";
import { orAborted } from "wg-userspace/async/abort";
import type { TcpOptions } from "wg-userspace/netstack/tcp/options";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import type { DialApp } from "./program-pool.ts";

/** Stands in for a login's key: the tunnels of the server's own client are kept apart from those of users. */
export const APP_TUNNEL_KEY = "apps";
/**
 * When an agent is considered gone: after a minute in which it acknowledged nothing of what was sent to it, and on a connection on
 * which nothing passes, as an event stream without events, after two minutes in which it answered no probe. A program that
 * neither reads nor writes is not affected, because its agent answers. Without these limits, what is open to an agent that
 * vanished stays for days, or for as long as its tunnel if nothing is sent.
 */
export const AGENT_LIVENESS = {
  userTimeoutMs: 60_000,
  keepaliveIdleMs: 60_000,
  keepaliveIntervalMs: 15_000,
  keepaliveCount: 4,
} as const satisfies TcpOptions;

/** The part of the tunnels that the dialer uses. */
export interface AppTunnels {
  acquire(request: TunnelRequest): Promise<{
    readonly connection: {
      dial(port: number, options: TcpOptions & { signal: AbortSignal }): Promise<Duplex>;
    };
    release(): void;
  }>;
}

/** @param token Authenticates the server's own client. */
export function appDialer(tunnels: AppTunnels, token: string): DialApp {
  return async ({ target }, signal) => {
    const acquiring = tunnels.acquire({
      agentId: target.agentId,
      keyId: APP_TUNNEL_KEY,
      token,
      userId: target.ownerId,
    });
    const tunnel = await unlessAborted(acquiring, signal, (late) => late.release());
    try {
      const stream = await tunnel.connection.dial(target.port, { signal, ...AGENT_LIVENESS });
      // The stream may have been reset in the same turn, in which case its "close" event has already been emitted.
      if (stream.destroyed) tunnel.release();
      else stream.once("close", () => tunnel.release());
      return stream;
    } catch (error) {
      tunnel.release();
      throw error;
    }
  };
}

/** @param giveBack Releases a result that arrives after the abort. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal, giveBack: (late: T) => void): Promise<T> {
  const result = orAborted(work, signal);
  result.catch(() => {
    if (signal.aborted) work.then(giveBack, () => undefined); // a failure after the abort has no receiver
  });
  return result;
}
