import { call } from "./client.ts";

export type HistoryRange = "1h" | "24h";

/** Lists of equal length, the oldest value first; null is a gap. */
export interface NetworkHistory {
  readonly step_s: number;
  readonly from: string;
  readonly latency_ms: readonly (number | null)[];
  readonly direct: readonly (number | null)[];
  readonly relayed: readonly (number | null)[];
}

export interface RelayRegion {
  readonly region_id: number;
  readonly code: string;
  readonly name: string;
  readonly embedded: boolean;
  readonly latency_urls: readonly string[];
  readonly agents: number;
}

export interface DeploymentNetwork {
  readonly regions: readonly RelayRegion[];
  readonly connections: { readonly direct: number; readonly relayed: number; readonly unknown: number };
}

/** Why an agent is reached slowly or not directly, and who can change it. */
export interface Cause {
  readonly code: string;
  readonly side: string;
  readonly severity: "blocks-direct" | "slows" | "note";
  readonly what: string;
  readonly fix: string;
}

export const agentCauses = (agent: string, signal: AbortSignal) =>
  call<{ readonly causes: readonly Cause[] }>("GET", `/workspaceagents/${agent}/netcheck`, { signal });

export const agentHistory = (agent: string, range: HistoryRange, signal: AbortSignal) =>
  call<NetworkHistory>("GET", `/workspaceagents/${agent}/network/history?range=${range}`, { signal });

export const deploymentNetwork = (signal: AbortSignal) =>
  call<DeploymentNetwork>("GET", "/deployment/network", { signal });

export const deploymentHistory = (range: HistoryRange, signal: AbortSignal) =>
  call<NetworkHistory>("GET", `/deployment/network/history?range=${range}`, { signal });
