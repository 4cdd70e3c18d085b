/** The server's own way to the programs of workspaces. Opens connections for decisions only. */
import type { Duplex } from "node:stream";
import type { TunnelRequest } from "../tunnels/agent-tunnels.ts";
import type { DialApp } from "./program-pool.ts";

/** In the place of a login's key: the server's own client has tunnels of its own. */
export const APP_TUNNEL_KEY = "apps";

/** The part of the tunnels that is used here. */
export interface AppTunnels {
  acquire(request: TunnelRequest): Promise<{
    readonly connection: { dial(port: number, options: { signal: AbortSignal }): Promise<Duplex> };
    release(): void;
  }>;
}

/** @param token Of the server's own client. */
export function appDialer(tunnels: AppTunnels, token: string): DialApp {
  return async ({ target }, signal) => {
    const acquiring = tunnels.acquire({ agentId: target.agentId, keyId: APP_TUNNEL_KEY, token });
    const tunnel = await unlessAborted(acquiring, signal, (late) => late.release());
    try {
      const stream = await tunnel.connection.dial(target.port, { signal });
      // It may have been reset in the turn in which it was opened: then its "close" has been emitted.
      if (stream.destroyed) tunnel.release();
      else stream.once("close", () => tunnel.release());
      return stream;
    } catch (error) {
      tunnel.release();
      throw error;
    }
  };
}

/** @param giveBack Of what comes too late. */
function unlessAborted<T>(work: Promise<T>, signal: AbortSignal, giveBack: (late: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(signal.reason);
      work.then(giveBack, () => undefined); // its failure comes too late to be an answer
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
