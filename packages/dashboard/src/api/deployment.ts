import type { ShareLevel } from "coder-protocol/rest/apps";
import type { BuildInfo, HealthMessage, HealthSeverity, Replica } from "coder-protocol/rest/deployment";
import type { ConnectionLogResponse } from "coder-protocol/rest/profile";
import type { WorkspaceProxy } from "coder-protocol/rest/workspace-proxies";
import { call } from "./client.ts";

/** One section of the health report; sections differ in their further content. */
export interface HealthSection {
  readonly healthy: boolean;
  readonly severity: HealthSeverity;
  readonly warnings: readonly HealthMessage[];
  readonly error?: string;
  /** Only in the section of workspace proxies. */
  readonly workspace_proxies?: { readonly regions: readonly WorkspaceProxy[] };
  readonly [fact: string]: unknown;
}

export interface Health {
  readonly time: string;
  readonly severity: HealthSeverity;
  readonly coder_version: string;
  readonly [section: string]: unknown;
}

export const buildInfo = (signal: AbortSignal) => call<BuildInfo>("GET", "/buildinfo", { signal });

/** `force` runs the checks again instead of returning the latest report. */
export const health = (signal: AbortSignal, force = false) =>
  call<Health>("GET", `/debug/health${force ? "?force=true" : ""}`, { signal });

/** A setting of the server, and where its value comes from. */
export interface DeploymentOption {
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly value: string;
  readonly default: string;
  readonly description: string;
  readonly value_source: string;
}

export const deploymentOptions = (signal: AbortSignal) =>
  call<{ readonly options: readonly DeploymentOption[] }>("GET", "/deployment/config", { signal });

/** An app or port that others than the owner of the workspace may use. */
export interface DeploymentShare {
  readonly workspace: string;
  readonly owner: string;
  readonly agent: string;
  readonly port?: number | null;
  readonly slug?: string | null;
  readonly level: ShareLevel;
  readonly effective_level: ShareLevel;
  readonly label: string;
  readonly expires_at: string | null;
  readonly created_by: string;
}

export const deploymentShares = (signal: AbortSignal) =>
  call<{ readonly shares: readonly DeploymentShare[] }>("GET", "/deployment/shares", { signal });

export const connectionLog = (q: string, offset: number, signal: AbortSignal) =>
  call<ConnectionLogResponse>("GET", `/deployment/connections?q=${encodeURIComponent(q)}&offset=${offset}`, { signal });

/** The servers of the deployment, the one that answers first. */
export const replicas = (signal: AbortSignal) => call<readonly Replica[]>("GET", "/replicas", { signal });

export const deploymentStats = (signal: AbortSignal) =>
  call<Readonly<Record<string, unknown>>>("GET", "/deployment/stats", { signal });
