/**
 * One HTTP exchange with an agent's API (port 4 of its tunnel), with the credentials of the requesting user. The connection to
 * this agent and port is opened before the request, and no other is opened, so an agent's answer cannot lead anywhere else.
 */

import { Agent } from "node:http";
import type { Duplex } from "node:stream";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";
import { orAborted } from "wg-userspace/async/abort";
import type { Tunnel, TunnelRequest } from "./agent-tunnels.ts";

/** Includes the time to open a tunnel if there is none. */
const TUNNEL_TIMEOUT_MS = 8_000;
const DIAL_TIMEOUT_MS = 5_000;

/** Dials an agent. */
export interface AgentDialer {
  dial(port: number, options: { signal: AbortSignal }): Promise<Duplex>;
}

export interface AgentHttpTunnels {
  acquire(request: TunnelRequest): Promise<{ readonly connection: AgentDialer; release: Tunnel["release"] }>;
}

/** Rejects with the error of the connection or of `use`. The connection ends with the exchange. */
export async function exchangeWithAgent<Result>(
  tunnels: AgentHttpTunnels,
  request: TunnelRequest,
  use: (agent: Agent) => Promise<Result>,
): Promise<Result> {
  const acquiring = tunnels.acquire(request);
  const limit = AbortSignal.timeout(TUNNEL_TIMEOUT_MS);
  const tunnel = await orAborted(acquiring, limit).catch((error: unknown) => {
    // A tunnel that arrives too late serves the next request, because a released tunnel is kept for a while.
    acquiring.then((late) => late.release()).catch(() => undefined); // its failure is either the one thrown here, or too late to matter
    throw error;
  });
  try {
    return await exchangeOver(tunnel.connection, use);
  } finally {
    tunnel.release();
  }
}

/** An exchange over a tunnel that the caller holds. */
export async function exchangeOver<Result>(
  connection: AgentDialer,
  use: (agent: Agent) => Promise<Result>,
): Promise<Result> {
  const stream = await connection.dial(HTTP_API_PORT, { signal: AbortSignal.timeout(DIAL_TIMEOUT_MS) });
  try {
    return await use(new OneStream(stream));
  } finally {
    stream.destroy();
  }
}

/** An Agent that sends one request over an existing stream. */
class OneStream extends Agent {
  #stream: Duplex | undefined;

  constructor(stream: Duplex) {
    super({ keepAlive: false });
    this.#stream = stream;
  }

  override createConnection(): Duplex {
    const stream = this.#stream;
    this.#stream = undefined;
    if (stream === undefined) throw new Error("no second connection is made to an agent");
    return stream;
  }
}
