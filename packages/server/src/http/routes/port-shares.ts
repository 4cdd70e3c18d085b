import { deletePortShareRequest, type PortSharesResponse, upsertPortShareRequest } from "coder-protocol/rest/apps";
import type { PortShareService } from "../../apps/port-shares.ts";
import { formatTime } from "../../base/clock.ts";
import type { Tables } from "../../db/store.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import { portShareView } from "../views/port-shares.ts";
import type { WorkspacePaths } from "./workspace-paths.ts";

export interface PortShareRoutesDeps {
  readonly user: Guard;
  readonly paths: WorkspacePaths;
  readonly portShares: PortShareService;
  readonly tables: Pick<Tables, "portShares">;
  readonly now: () => number;
  readonly bodyBytes: number;
}

/** Ports of a workspace that others may use. */
export function portShareRoutes(router: Router, deps: PortShareRoutesDeps): void {
  const { user, paths, portShares, bodyBytes } = deps;

  router.get("/deployment/shares", user, requireOwner, async (c) => {
    const rows = await deps.tables.portShares.all(deps.now());
    return c.json({
      shares: rows.map((row) => ({
        workspace: row.workspace_name,
        owner: row.owner_name,
        agent: row.agent_name,
        port: row.port,
        level: row.level,
        label: row.label,
        expires_at: row.expires_at === null ? null : formatTime(row.expires_at),
        created_by: row.maker_name,
      })),
    });
  });

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
