/** Declared apps as rows. Pure: computes the rows to store from the request and the existing rows. */
import { randomUUID } from "node:crypto";
import type { ShareLevel } from "coder-protocol/rest/apps";
import {
  type ChangeWorkspaceAppRequest,
  MAX_APPS_PER_AGENT,
  type NewWorkspaceApp,
  newWorkspaceApp,
} from "coder-protocol/rest/workspace-apps";
import { DomainError } from "../base/domain-error.ts";
import { narrowerLevel } from "../base/share-level.ts";
import { choiceColumns, choiceFields } from "../db/app-choices.ts";
import type { AppRow } from "../db/schema.ts";

export interface AppOrigin {
  readonly agentId: string;
  readonly workspaceId: string;
  readonly now: number;
}

/** The row of an app that is declared at the server. */
export function appRow(app: NewWorkspaceApp, position: number, { agentId, workspaceId, now }: AppOrigin): AppRow {
  return {
    id: randomUUID(),
    agent_id: agentId,
    workspace_id: workspaceId,
    slug: app.slug,
    position,
    ...columns(app),
    level: app.sharing_level,
    requested_level: null,
    health: app.healthcheck.url === "" ? "disabled" : "initializing",
    source: "server",
    created_at: now,
    updated_at: now,
  };
}

/** Throws DomainError "invalid". */
export function changedAppRow(row: AppRow, request: ChangeWorkspaceAppRequest, now: number): AppRow {
  const { slug, ...current } = declarationOf(row);
  const app = parsed({ ...current, ...request, slug });
  return {
    ...row,
    ...columns(app),
    level: app.sharing_level,
    health: healthAfter(row, app),
    updated_at: now,
  };
}

/** Throws DomainError "invalid" with the problem of each field. */
export function parsed(value: unknown): NewWorkspaceApp {
  const result = newWorkspaceApp.safeParse(value);
  if (result.success) return result.data;
  throw new DomainError("invalid", "Validation failed.", {
    validations: result.error.issues
      .slice(0, 32)
      .map((issue) => ({ field: issue.path.join("."), detail: issue.message })),
  });
}

export interface AgentAppsPlan {
  readonly kept: readonly AppRow[];
  readonly ignored: readonly { readonly slug: string; readonly reason: string }[];
}

/**
 * Plans the changes for an agent's declared apps. An agent alone can share only with its owner: a wider level is stored as a
 * request, and an owner's approval applies only to this slug at this address.
 *
 * @param present All apps of the workspace.
 */
export function planAgentApps(asked: readonly unknown[], present: readonly AppRow[], origin: AppOrigin): AgentAppsPlan {
  const own = (row: AppRow): boolean => row.source === "agent" && row.agent_id === origin.agentId;
  const others = present.filter((row) => !own(row));
  const before = new Map(present.filter(own).map((row) => [row.slug, row]));
  const room = MAX_APPS_PER_AGENT - others.filter(({ agent_id: id }) => id === origin.agentId).length;
  const kept: AppRow[] = [];
  const ignored: { slug: string; reason: string }[] = [];
  for (const value of asked) {
    const result = newWorkspaceApp.safeParse(value);
    const refuse = (reason: string): void => void ignored.push({ slug: slugOf(value), reason });
    if (!result.success) {
      const [issue] = result.error.issues;
      refuse(`${issue?.path.join(".") ?? ""} ${issue?.message ?? "is malformed"}`.trim());
      continue;
    }
    const app = result.data;
    if (app.external) refuse("an agent declares no external apps");
    else if (app.identity_headers) refuse("identity_headers are for the owner to choose");
    else if (kept.some(({ slug }) => slug === app.slug)) refuse("is declared twice");
    else if (others.some(({ slug }) => slug === app.slug)) refuse("the workspace has another app of that name");
    else if (kept.length >= room) refuse(`an agent has at most ${MAX_APPS_PER_AGENT} apps`);
    else kept.push(agentAppRow(app, kept.length, before.get(app.slug), origin));
  }
  return { kept, ignored };
}

function agentAppRow(app: NewWorkspaceApp, position: number, before: AppRow | undefined, origin: AppOrigin): AppRow {
  const wanted = app.sharing_level;
  const approved = before !== undefined && before.url === app.url ? before.level : "owner";
  const row = appRow(app, position, origin);
  return {
    ...row,
    id: before?.id ?? row.id,
    created_at: before?.created_at ?? row.created_at,
    health: before === undefined ? row.health : healthAfter(before, app),
    level: narrowerLevel(approved, wanted),
    requested_level: wanted,
    source: "agent",
  };
}

/** The requested level, if it is wider than the current one. */
export function pendingLevel({ level, requested_level: requested }: AppRow): ShareLevel | undefined {
  return requested === null || narrowerLevel(requested, level) === requested ? undefined : requested;
}

/** Whether two rows differ in more than the time at which they were written. */
export function differs(a: AppRow, b: AppRow): boolean {
  const rest = ({ updated_at: _, ...row }: AppRow): string => JSON.stringify(Object.entries(row).sort());
  return rest(a) !== rest(b);
}

/** The declaration from which a row was made. */
export function declarationOf(row: AppRow): NewWorkspaceApp {
  return {
    slug: row.slug,
    display_name: row.display_name,
    icon: row.icon,
    url: row.url,
    external: row.external === 1,
    command: row.command,
    subdomain: row.subdomain === 1,
    sharing_level: row.level,
    healthcheck: {
      url: row.health_url,
      interval: row.health_interval_seconds,
      threshold: row.health_threshold,
    },
    group: row.group_name,
    hidden: row.hidden === 1,
    open_in: row.open_in,
    tooltip: row.tooltip,
    host_header: row.host_header,
    ...choiceFields(row),
  };
}

function columns(app: NewWorkspaceApp) {
  return {
    display_name: app.display_name,
    icon: app.icon,
    url: app.url,
    external: app.external ? 1 : 0,
    command: app.command,
    subdomain: app.subdomain ? 1 : 0,
    group_name: app.group,
    hidden: app.hidden ? 1 : 0,
    open_in: app.open_in,
    tooltip: app.tooltip,
    host_header: app.host_header,
    ...choiceColumns(app),
    health_url: app.healthcheck.url,
    health_interval_seconds: app.healthcheck.url === "" ? 0 : app.healthcheck.interval,
    health_threshold: app.healthcheck.url === "" ? 0 : app.healthcheck.threshold,
  };
}

/** The health found at one address does not apply to another. */
function healthAfter(before: AppRow, app: NewWorkspaceApp): AppRow["health"] {
  if (app.healthcheck.url === "") return "disabled";
  return before.health_url === app.healthcheck.url ? before.health : "initializing";
}

function slugOf(value: unknown): string {
  const slug = (value as { slug?: unknown } | null)?.slug;
  return typeof slug === "string" ? slug.slice(0, 64) : "";
}
