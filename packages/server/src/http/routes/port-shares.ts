import {
  deletePortShareRequest,
  type PortShare,
  type PortSharesResponse,
  upsertPortShareRequest,
} from "coder-protocol/rest/apps";
import type { PortShareService } from "../../apps/port-shares.ts";
import { formatTime } from "../../base/clock.ts";
import type { PortShareRow } from "../../db/schema.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { WorkspacePaths } from "./workspace-paths.ts";

export interface PortShareRoutesDeps {
  readonly user: Guard;
  readonly paths: WorkspacePaths;
  readonly portShares: PortShareService;
  readonly bodyBytes: number;
}

/** Ports of a workspace that others may use. */
export function portShareRoutes(router: Router, deps: PortShareRoutesDeps): void {
  const { user, paths, portShares, bodyBytes } = deps;

  router.get("/workspaces/:workspace/port-share", user, async (c) => {
    const rows = await portShares.list(await paths.workspace(c));
    const body: PortSharesResponse = { shares: rows.map(portShareView) };
    return c.json(body);
  });

  router.post("/workspaces/:workspace/port-share", user, async (c) => {
    const workspace = await paths.workspace(c);
    const request = await readJson(c, upsertPortShareRequest, bodyBytes);
    return c.json(portShareView(await portShares.put(workspace, c.get("auth").user, request)));
  });

  router.delete("/workspaces/:workspace/port-share", user, async (c) => {
    const workspace = await paths.workspace(c);
    await portShares.remove(workspace, await readJson(c, deletePortShareRequest, bodyBytes));
    return c.body(null, 200);
  });
}

function portShareView(row: PortShareRow): PortShare {
  return {
    workspace_id: row.workspace_id,
    agent_name: row.agent_name,
    port: row.port,
    share_level: row.level,
    protocol: row.protocol,
    label: row.label,
    expires_at: row.expires_at === null ? null : formatTime(row.expires_at),
    host_header: row.host_header,
    created_at: formatTime(row.created_at),
  };
}
