/** The ports of a workspace: which are in use and which are shared. */
import { ClientError } from "coder-client/base/client-error";
import type { Deployment } from "coder-client/rest/deployment";
import { chooseAgent } from "coder-client/rest/workspaces";
import { printable } from "../base/text.ts";
import type { ListedPort } from "../ui/port-table.ts";
import type { AppPlace } from "./apps.ts";

/** The ports of one agent, in order. The agent connects to shared ports to find out which protocol they speak. */
export async function listPorts(
  deployment: Deployment,
  { workspace, agentName }: AppPlace,
  signal: AbortSignal,
): Promise<ListedPort[]> {
  const agent = chooseAgent(workspace, agentName);
  const [listening, shared] = await Promise.all([
    deployment.call(`/api/v2/workspaceagents/${agent.id}/listening-ports?probe=shared`, { signal }),
    deployment.call(`/api/v2/workspaces/${workspace.id}/port-share`, { signal }),
  ]);
  return mergedPorts(listening, shared, agent.name);
}

export function mergedPorts(listening: unknown, shared: unknown, agentName: string): ListedPort[] {
  const { ports, address } = record(listening);
  const { shares } = record(shared);
  if (!Array.isArray(ports) || !Array.isArray(shares))
    throw new ClientError("ERR_NOT_A_CODER_SERVER", "unexpected answer: expected lists of ports and shares");
  const pattern = text(address) ?? "";
  const rows = new Map<number, Omit<ListedPort, "address">>();
  for (const item of ports.map(record)) {
    const port = portOf(item);
    if (port === undefined) continue;
    rows.set(port, {
      ...closed(port),
      process_name: text(item["process_name"]) ?? "",
      listening: true,
      kind: text(item["kind"]) ?? null,
    });
  }
  for (const item of shares.map(record)) {
    const port = portOf(item);
    if (port === undefined || item["agent_name"] !== agentName) continue;
    const level = text(item["share_level"]) ?? null;
    rows.set(port, {
      ...(rows.get(port) ?? closed(port)),
      share_level: level,
      effective_level: text(item["effective_level"]) ?? level,
      protocol: text(item["protocol"]) ?? null,
      label: text(item["label"]) ?? "",
      expires_at: text(item["expires_at"]) ?? null,
    });
  }
  return [...rows.values()]
    .sort((a, b) => a.port - b.port)
    .map((row) => ({ ...row, address: pattern === "" ? "" : addressOf(pattern, row) }));
}

/** Advice about a port that has just been shared. */
export function shareAdvice(row: ListedPort | undefined): string[] {
  if (row === undefined) return [];
  const lines = row.address === "" ? [] : [`It is opened at ${printable(row.address)}`];
  if (!row.listening) return [...lines, `Nothing listens on port ${row.port} of the workspace yet`];
  if (row.kind === "other") return [...lines, "The program that listens there speaks neither http nor https"];
  if (row.kind === null || row.kind === row.protocol) return lines;
  return [...lines, `The program speaks ${row.kind}; share it as ${row.port}${row.kind === "https" ? "s" : ""}`];
}

function closed(port: number): Omit<ListedPort, "address"> {
  return {
    port,
    process_name: "",
    listening: false,
    kind: null,
    share_level: null,
    effective_level: null,
    protocol: null,
    label: "",
    expires_at: null,
  };
}

function addressOf(pattern: string, { port, kind, protocol }: Omit<ListedPort, "address">): string {
  const secure = kind === "https" || (kind !== "http" && protocol === "https");
  return `${pattern.replace("{{port}}", `${port}${secure ? "s" : ""}`)}/`;
}

function portOf({ port }: Readonly<Record<string, unknown>>): number | undefined {
  return typeof port === "number" && Number.isInteger(port) && port > 0 && port <= 65_535 ? port : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
