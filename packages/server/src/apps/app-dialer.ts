/** The server's own connections to the programs of workspaces. They are opened only for an {@link AppDecision}. */
import type { Duplex } from "node:stream";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import type { DialApp } from "./program-pool.ts";

/** Stands in for a login's key: the tunnels of the server's own client are kept apart from those of users. */
export const APP_TUNNEL_KEY = "apps";
/**
 * An agent that acknowledges nothing for this long while data waits is considered gone. A program that does not read for a while is
 * not affected, because its agent answers. Without this limit, requests and WebSockets that send to an agent
 * that vanished stay for days.
 */
const AGENT_TIMEOUT_MS = 60_000;

/** The part of the tunnels that the dialer uses. */
export interface AppTunnels {
  acquire(request: TunnelRequest): Promise<{
    readonly connection: {
      dial(port: number, options: { signal: AbortSignal; userTimeoutMs: number }): Promise<Duplex>;
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
      const stream = await tunnel.connection.dial(target.port, { signal, userTimeoutMs: AGENT_TIMEOUT_MS });
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
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      work.then(giveBack, () => undefined); // a failure after the abort has no receiver
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
