import type { BuildInfo, HealthMessage, HealthSeverity } from "coder-protocol/rest/deployment";
import { call } from "./client.ts";

/** One section of the health report; the sections differ in what else they hold. */
export interface HealthSection {
  readonly healthy: boolean;
  readonly severity: HealthSeverity;
  readonly warnings: readonly HealthMessage[];
  readonly error?: string;
  readonly [fact: string]: unknown;
}

export interface Health {
  readonly time: string;
  readonly severity: HealthSeverity;
  readonly coder_version: string;
  readonly [section: string]: unknown;
}

export const buildInfo = (signal: AbortSignal) => call<BuildInfo>("GET", "/buildinfo", { signal });

/** `force` runs the checks again instead of answering with the latest report. */
export const health = (signal: AbortSignal, force = false) =>
  call<Health>("GET", `/debug/health${force ? "?force=true" : ""}`, { signal });

export const deploymentConfig = (signal: AbortSignal) =>
  call<Readonly<Record<string, unknown>>>("GET", "/deployment/config", { signal });

export const deploymentStats = (signal: AbortSignal) =>
  call<Readonly<Record<string, unknown>>>("GET", "/deployment/stats", { signal });
