/** What the agent knows about its own network, from its HTTP API inside the tunnel. */
import type { Duplex } from "node:stream";
import { fetchOver } from "coder-client/connection/fetch-over";
import { limitedText } from "coder-client/connection/tunnel-fetch";
import { type AgentNetwork, agentNetworkFromJson } from "coder-client/diagnosis/agent-network";
import { HTTP_API_PORT } from "coder-protocol/tunnel-ports";

const MAX_ANSWER_BYTES = 1024 * 1024;
const MAX_PORTS = 1024;

export interface Dialable {
  dial(port: number, options: { readonly signal: AbortSignal }): Promise<Duplex>;
}

/** Asks the agent to examine its network. Rejects with what went wrong, or with `signal.reason`. */
export async function agentNetwork(connection: Dialable, signal: AbortSignal): Promise<AgentNetwork> {
  const { status, body } = await get(connection, "/api/v0/netcheck", signal);
  if (status === 404) throw new Error("this agent is too old to check its network");
  if (status !== 200) throw new Error(`the agent answered with HTTP ${status}`);
  return agentNetworkFromJson(body);
}

export interface ListeningPort {
  readonly port: number;
  /** Empty when the agent may not know the name. */
  readonly processName: string;
}

/** TCP ports that programs in the workspace listen on, without system services. */
export async function listeningPorts(connection: Dialable, signal: AbortSignal): Promise<ListeningPort[]> {
  const { status, body } = await get(connection, "/api/v0/listening-ports", signal);
  if (status !== 200) throw new Error(`the agent answered with HTTP ${status}`);
  const { ports } = record(body);
  if (!Array.isArray(ports)) return [];
  return ports.slice(0, MAX_PORTS).flatMap((item) => {
    const { port, process_name, network } = record(item);
    if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535) return [];
    if (network !== "tcp") return [];
    // The names are shown on a terminal, so none may contain control characters.
    return [
      {
        port,
        processName: String(process_name ?? "")
          .replace(/[^\x20-\x7e]/g, "?")
          .slice(0, 64),
      },
    ];
  });
}

function record(json: unknown): Record<string, unknown> {
  return typeof json === "object" && json !== null ? (json as Record<string, unknown>) : {};
}

async function get(
  connection: Dialable,
  path: string,
  signal: AbortSignal,
): Promise<{ status: number; body: unknown }> {
  const { status, text } = await agentPage(connection, path, signal, MAX_ANSWER_BYTES);
  try {
    return { status, body: JSON.parse(text) };
  } catch {
    return { status, body: undefined };
  }
}

/** The unchanged content of a page of the agent's HTTP API. Rejects when it is longer than `limitBytes`. */
export async function agentPage(
  connection: Dialable,
  path: string,
  signal: AbortSignal,
  limitBytes: number,
): Promise<{ status: number; text: string }> {
  const stream = await connection.dial(HTTP_API_PORT, { signal });
  const response = await fetchOver(stream, HTTP_API_PORT, path, { signal });
  return { status: response.status, text: await limitedText(response, limitBytes) };
}
