import { foreignAnswer, type HttpAnswer } from "coder-client/rest/answerer";
import type { Deployment } from "coder-client/rest/deployment";
import type { WorkspaceAgent } from "coder-protocol/rest/agents";

/** How an agent is reached, in words; "" where the server does not know, as stock servers do not. */
export interface AgentNetworkText {
  readonly home: string;
  readonly connections: string;
}

/** Asks the server how clients reach an agent. */
export async function agentNetworkText(
  deployment: Deployment,
  agent: WorkspaceAgent,
  signal: AbortSignal,
): Promise<AgentNetworkText> {
  const answer = await deployment.send(`/api/v2/workspaceagents/${agent.id}/network`, { signal });
  throwForeign(deployment, answer);
  const network = answer.status === 200 ? networkBody(answer.body) : undefined;
  if (network === undefined) return { home: homeOf(agent.latency), connections: "" };
  const { home, connections, clients } = network;
  return {
    home: home === null ? "" : relayText(home.region_name, home.latency_ms),
    connections: connectionsText(connections, clients),
  };
}

interface NetworkBody {
  readonly home: { readonly region_name: string; readonly latency_ms?: number } | null;
  readonly connections: { readonly direct: number; readonly relayed: number; readonly unknown: number };
  readonly clients: readonly { readonly path: string; readonly endpoint?: string; readonly latency_ms?: number }[];
}

/** The answer, if the fields that are printed have the expected types. */
function networkBody(value: unknown): NetworkBody | undefined {
  if (!isObject(value)) return undefined;
  const { home, connections, clients } = value;
  if (!isObject(connections) || !Array.isArray(clients)) return undefined;
  if (![connections["direct"], connections["relayed"], connections["unknown"]].every(Number.isInteger))
    return undefined;
  if (
    home !== null &&
    !(isObject(home) && typeof home["region_name"] === "string" && maybe(home["latency_ms"], "number"))
  )
    return undefined;
  const readable = clients.every(
    (client: unknown) =>
      isObject(client) &&
      typeof client["path"] === "string" &&
      maybe(client["endpoint"], "string") &&
      maybe(client["latency_ms"], "number"),
  );
  return readable ? (value as unknown as NetworkBody) : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function maybe(value: unknown, type: "string" | "number"): boolean {
  return value === undefined || typeof value === type;
}

/** The preferred region and its latency, which every server provides. */
function homeOf(latency: WorkspaceAgent["latency"]): string {
  const preferred = Object.entries(latency ?? {}).find(([, region]) => region.preferred);
  return preferred === undefined ? "" : relayText(preferred[0], preferred[1].latency_ms);
}

function relayText(name: string, latencyMs: number | undefined): string {
  return latencyMs === undefined ? name : `${name} (${latencyMs.toFixed(0)} ms)`;
}

function connectionsText(counts: NetworkBody["connections"], clients: NetworkBody["clients"]): string {
  const parts = (["direct", "relayed", "unknown"] as const)
    .filter((kind) => counts[kind] > 0)
    .map((kind) => {
      const reported = clients.filter((client) => client.path === kind);
      const classes = new Set(reported.flatMap((client) => client.endpoint ?? []));
      const latencies = reported.flatMap((client) => client.latency_ms ?? []);
      const details = [...classes, ...(latencies.length === 0 ? [] : [`${Math.min(...latencies).toFixed(0)} ms`])];
      const words = kind === "unknown" ? "path not reported" : kind;
      return `${counts[kind]} ${words}${details.length === 0 ? "" : ` (${details.join(", ")})`}`;
    });
  return parts.length === 0 ? "none" : parts.join(", ");
}

/** Ports that programs in the workspace listen on. Where the server does not know them, the column stays empty. */
export async function listeningPorts(deployment: Deployment, agentId: string, signal: AbortSignal): Promise<string[]> {
  const answer = await deployment.send(`/api/v2/workspaceagents/${agentId}/listening-ports`, { signal });
  throwForeign(deployment, answer);
  const ports = (answer.body as { ports?: unknown } | undefined)?.ports;
  return answer.status === 200 && Array.isArray(ports)
    ? ports.map((port) => {
        const { port: number, process_name: program } = (port ?? {}) as { port?: unknown; process_name?: unknown };
        return typeof program === "string" && program !== "" ? `${number} (${program})` : String(number);
      })
    : [];
}

/** An empty column means that the deployment does not know, never that the answer was lost. */
function throwForeign(deployment: Deployment, answer: HttpAnswer): void {
  const foreign = foreignAnswer(answer, deployment.url.host);
  if (foreign !== undefined) throw foreign;
}
