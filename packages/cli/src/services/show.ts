import type { Deployment } from "coder-client/api";

/** Ports that programs in the workspace listen on. A server that cannot tell leaves the column empty. */
export async function listeningPorts(deployment: Deployment, agentId: string, signal: AbortSignal): Promise<string[]> {
  const answer = await deployment.send(`/api/v2/workspaceagents/${agentId}/listening-ports`, { signal });
  const ports = (answer.body as { ports?: unknown } | undefined)?.ports;
  return answer.status === 200 && Array.isArray(ports)
    ? ports.map((port) => String((port as { port?: unknown }).port))
    : [];
}
