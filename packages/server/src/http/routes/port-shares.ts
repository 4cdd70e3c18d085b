import {
  deletePortShareRequest,
  type PortSharesResponse,
  type ShareLevel,
  upsertPortShareRequest,
} from "coder-protocol/rest/apps";
import type { PortShareService } from "../../apps/port-shares.ts";
import { formatTime } from "../../base/clock.ts";
import { narrowerLevel } from "../../base/share-level.ts";
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
  readonly tables: Pick<Tables, "apps">;
  readonly maxShareLevel: ShareLevel;
  readonly bodyBytes: number;
}

/** Ports of a workspace that are shared with other users. */
export function portShareRoutes(router: Router, deps: PortShareRoutesDeps): void {
  const { user, paths, portShares, tables, maxShareLevel, bodyBytes } = deps;

  router.get("/deployment/shares", user, requireOwner, async (c) => {
    const ports = await portShares.all();
    const apps = await tables.apps.shared();
    return c.json({
      shares: [
        ...ports.map((row) => ({
          workspace: row.workspace_name,
          owner: row.owner_name,
          agent: row.agent_name,
          port: row.port,
          level: row.level,
          effective_level: narrowerLevel(row.level, maxShareLevel),
          label: row.label,
          expires_at: row.expires_at === null ? null : formatTime(row.expires_at),
          created_by: row.maker_name,
        })),
        ...apps.map((row) => ({
          workspace: row.workspace_name,
          owner: row.owner_name,
          agent: row.agent_name,
          slug: row.slug,
          level: row.level,
          effective_level: narrowerLevel(row.level, maxShareLevel),
          label: row.display_name,
          expires_at: null,
          created_by: "",
        })),
      ],
    });
  });

  router.get("/workspaces/:workspace/port-share", user, async (c) => {
    const rows = await portShares.list(await paths.workspace(c));
    const body: PortSharesResponse = {
      shares: rows.map((row) => portShareView(row, maxShareLevel)),
      max_share_level: maxShareLevel,
    };
    return c.json(body);
  });

  router.post("/workspaces/:workspace/port-share", user, async (c) => {
    const workspace = await paths.workspace(c);
    const request = await readJson(c, upsertPortShareRequest, bodyBytes);
    return c.json(portShareView(await portShares.put(workspace, c.get("auth").user, request), maxShareLevel));
  });

  router.delete("/workspaces/:workspace/port-share", user, async (c) => {
    const workspace = await paths.workspace(c);
    await portShares.remove(workspace, await readJson(c, deletePortShareRequest, bodyBytes));
    return c.body(null, 200);
  });
}
