/** The stream of the dashboard, GET /api/v2/dashboard/stream: one WebSocket that carries everything a browser shows live. */
import { z } from "zod";

export const DASHBOARD_TOPICS = [
  "workspaces",
  "workspace",
  "agent-network",
  "agent-metadata",
  "agent-logs",
  "ports",
  "terminals",
  "health",
  "me",
] as const;
export type DashboardTopic = (typeof DASHBOARD_TOPICS)[number];

const id = z.int().min(0).max(0x7fff_ffff);

/** What a browser sends. */
export const dashboardRequest = z.discriminatedUnion("op", [
  z.object({
    op: z.literal("sub"),
    id,
    topic: z.enum(DASHBOARD_TOPICS),
    args: z.record(z.string().max(32), z.union([z.string().max(2000), z.number()])).default({}),
  }),
  z.object({ op: z.literal("unsub"), id }),
  z.object({ op: z.literal("ping") }),
]);
export type DashboardRequest = z.input<typeof dashboardRequest>;

/**
 * What the server sends. The data of a topic is a map: a snapshot holds entries, a patch changes some. What would be too long for
 * one message is continued by patches; all but the last have `more`, and the data is valid after the last.
 */
export type DashboardMessage =
  | {
      readonly id: number;
      readonly type: "snapshot";
      readonly rev: number;
      readonly more?: true;
      readonly data: Record<string, unknown>;
    }
  | {
      readonly id: number;
      readonly type: "patch";
      readonly rev: number;
      readonly more?: true;
      readonly set: Record<string, unknown>;
      readonly del: readonly string[];
    }
  /** The subscription does not exist, or no longer does. */
  | { readonly id: number; readonly type: "error"; readonly status: number; readonly message: string }
  | { readonly type: "pong" }
  /** The login has ended; the socket closes. */
  | { readonly type: "denied" };

/** An entry of the topic "workspaces": what the list shows. */
export interface WorkspaceListRow {
  readonly id: string;
  readonly name: string;
  readonly owner_name: string;
  readonly status: string;
  readonly last_used_at: string;
  readonly agents: readonly WorkspaceListAgent[];
}

export interface WorkspaceListAgent {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly lifecycle_state: string;
  readonly version: string;
  /** The paths of its clients; "none" when there are none. */
  readonly path: "direct" | "relayed" | "mixed" | "unknown" | "none";
  readonly latency_ms?: number | undefined;
}

/** The beginning of the list of workspaces, by name, which the list's page contains. */
export interface FirstWorkspaces {
  readonly rows: readonly WorkspaceListRow[];
  /** Of the whole list. */
  readonly count: number;
}
