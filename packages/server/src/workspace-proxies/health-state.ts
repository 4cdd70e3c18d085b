/**
 * The health of a proxy, and whether its region belongs in the relay map. A state machine without I/O: its inputs are results of
 * checks and the time.
 */
import type { ProxyStatus } from "coder-protocol/rest/workspace-proxies";
import { z } from "zod";
import { parsedJson } from "../base/parsed-json.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";

/** The result of one check, or what the proxy stated about itself. */
export type Observation =
  /** It answered with a report without errors. */
  | { readonly kind: "ok"; readonly warnings: readonly string[] }
  /** Its own report has errors. */
  | { readonly kind: "reports-errors"; readonly errors: readonly string[]; readonly warnings: readonly string[] }
  /** It answered with something other than a report. */
  | { readonly kind: "bad-answer"; readonly why: string }
  /** It did not answer. */
  | { readonly kind: "no-answer"; readonly why: string }
  /** Its last process ended properly, or its token was replaced. */
  | { readonly kind: "gone"; readonly why: string }
  /** No process of it is registered, so what answers at its address may not be the proxy. */
  | { readonly kind: "unattended" };

/** Consecutive failed checks after which the region leaves the map. */
const FAILURES_TO_LEAVE = 2;
/**
 * A region whose leaving is the third change within this time stays out for as long, because each change makes every client
 * measure again.
 */
const FLAPPING_MS = 10 * 60_000;
const FLAPPING_CHANGES = 3;
/** Time until the next check after the first failed one of a region in the map. */
const DOUBT_MS = 5_000;

export interface ProxyHealth {
  readonly status: ProxyStatus;
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
  /** Undefined if it was never checked. */
  readonly checkedAt: number | undefined;
  /** Since when it has this status. */
  readonly since: number;
  /** Consecutive failed checks. */
  readonly failures: number;
  readonly inMap: boolean;
  /** When the region entered the map, left it or was changed in it: the latest such times, oldest first. */
  readonly changes: readonly number[];
  /** The region does not enter the map before this time. */
  readonly heldUntil: number;
}

export function unregistered(now: number): ProxyHealth {
  return {
    status: "unregistered",
    errors: [],
    warnings: [],
    checkedAt: undefined,
    since: now,
    failures: 0,
    inMap: false,
    changes: [],
    heldUntil: 0,
  };
}

/** @param hasRelay Whether the proxy has a relay: without one there is no region. */
export function observed(before: ProxyHealth, observation: Observation, hasRelay: boolean, now: number): ProxyHealth {
  const status = statusOf(before, observation);
  const failures = status === "ok" ? 0 : before.failures + 1;
  const after: ProxyHealth = {
    ...before,
    status,
    ...wordsOf(before, observation),
    checkedAt: now,
    since: status === before.status ? before.since : now,
    failures,
    changes: recent(before, now),
  };
  if (!before.inMap) return status === "ok" && hasRelay && now >= before.heldUntil ? moved(after, true, now) : after;
  const stays = hasRelay && !endsAtOnce(observation) && failures < FAILURES_TO_LEAVE;
  return stays ? after : moved(after, false, now);
}

/**
 * The relay or the STUN server of a proxy appeared or disappeared. In the map this counts as a change: with the third one within
 * ten minutes, the region leaves.
 */
export function altered(before: ProxyHealth, hasRelay: boolean, now: number): ProxyHealth {
  if (!before.inMap) return before;
  const changes = recent(before, now);
  const stays = hasRelay && changes.length + 1 < FLAPPING_CHANGES;
  return moved({ ...before, changes }, stays, now);
}

/** When the next check is due. */
export function checkDueAt({ checkedAt, failures, inMap }: ProxyHealth, intervalMs: number): number {
  if (checkedAt === undefined) return Number.NEGATIVE_INFINITY;
  return checkedAt + (inMap && failures > 0 ? Math.min(DOUBT_MS, intervalMs) : intervalMs);
}

/** The warnings of its report, and why a healthy proxy is not in the map. */
export function warningsOf({ status, warnings, inMap, heldUntil }: ProxyHealth, now: number): readonly string[] {
  if (status !== "ok" || inMap || now >= heldUntil) return warnings;
  const until = new Date(heldUntil).toISOString();
  return [...warnings, `its region is left out of the relay map until ${until}: it came, went or changed too often`];
}

function recent({ changes }: ProxyHealth, now: number): readonly number[] {
  return changes.filter((at) => at > now - FLAPPING_MS).slice(-FLAPPING_CHANGES);
}

function statusOf(before: ProxyHealth, { kind }: Observation): ProxyStatus {
  switch (kind) {
    case "ok":
      return "ok";
    case "reports-errors":
    case "bad-answer":
      return "unhealthy";
    case "no-answer":
    case "gone":
      return "unreachable";
    case "unattended":
      return before.status === "unregistered" ? "unregistered" : "unreachable";
  }
}

function wordsOf(before: ProxyHealth, observation: Observation): Pick<ProxyHealth, "errors" | "warnings"> {
  switch (observation.kind) {
    case "ok":
      return { errors: [], warnings: observation.warnings };
    case "reports-errors":
      return { errors: observation.errors, warnings: observation.warnings };
    case "unattended":
      // It is already known why the last process is gone: it ended, its token was replaced, or it did not answer.
      if (before.status === "unregistered" || before.status === "unreachable")
        return { errors: before.errors, warnings: before.warnings };
      return { errors: ["no process of it has registered for a while"], warnings: [] };
    default:
      return { errors: [observation.why], warnings: [] };
  }
}

function endsAtOnce({ kind }: Observation): boolean {
  return kind === "gone" || kind === "unattended" || kind === "reports-errors";
}

function moved(health: ProxyHealth, inMap: boolean, now: number): ProxyHealth {
  const changes = [...health.changes, now].slice(-FLAPPING_CHANGES);
  const flaps = !inMap && changes.length >= FLAPPING_CHANGES;
  return { ...health, inMap, changes, heldUntil: flaps ? now + FLAPPING_MS : health.heldUntil };
}

const stored = z.object({
  status: z.enum(["ok", "unregistered", "unreachable", "unhealthy"]),
  errors: z.array(z.string()),
  warnings: z.array(z.string()),
  since: z.number(),
  changes: z.array(z.number()),
  heldUntil: z.number(),
});

/** The columns of the store. */
export type HealthColumns = Pick<WorkspaceProxyRow, "health" | "health_at" | "health_failures" | "in_map">;

export function healthColumns(health: ProxyHealth): HealthColumns {
  const { status, errors, warnings, since, changes, heldUntil, checkedAt, failures, inMap } = health;
  return {
    health: JSON.stringify({ status, errors, warnings, since, changes, heldUntil }),
    health_at: checkedAt ?? null,
    health_failures: failures,
    in_map: inMap ? 1 : 0,
  };
}

/** A proxy that was never checked, or whose column is unreadable, is unregistered and not in the map. */
export function healthOf(columns: HealthColumns & { readonly created_at: number }): ProxyHealth {
  const read = stored.safeParse(parsedJson(columns.health));
  if (!read.success) return unregistered(columns.created_at);
  const { health_at: checkedAt, health_failures: failures, in_map } = columns;
  return { ...read.data, checkedAt: checkedAt ?? undefined, failures, inMap: in_map === 1 };
}
