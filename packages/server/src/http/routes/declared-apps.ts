import type { ShareLevel } from "coder-protocol/rest/apps";
import {
  type AgentApp,
  type AgentAppsResponse,
  addWorkspaceAppRequest,
  changeWorkspaceAppRequest,
  MAX_AGENT_APPS_BYTES,
  putAgentAppsRequest,
  type WorkspaceAppsResponse,
} from "coder-protocol/rest/workspace-apps";
import type { AuthenticatedAgent } from "../../auth/authenticator.ts";
import type { DeclaredApps, PlacedApp } from "../../workspaces/declared-apps.ts";
import type { Guard, Router } from "../hono.ts";
import { readJson } from "../reply.ts";
import type { SenderOf } from "../senders.ts";
import { agentAppView } from "../views/apps.ts";
import type { WorkspacePaths } from "./workspace-paths.ts";

export interface DeclaredAppRoutesDeps {
  readonly user: Guard;
  readonly requestAgent: SenderOf<AuthenticatedAgent>;
  readonly paths: WorkspacePaths;
  readonly apps: DeclaredApps;
  readonly maxShareLevel: ShareLevel;
  readonly bodyBytes: number;
}

/** Apps that workspaces declare. */
export function declaredAppRoutes(router: Router, deps: DeclaredAppRoutesDeps): void {
  const { user, requestAgent, paths, apps, maxShareLevel, bodyBytes } = deps;
  const shown = (app: PlacedApp): AgentApp => agentAppView(app, maxShareLevel);

  router.get("/workspaces/:workspace/apps", user, async (c) => {
    const workspace = await paths.workspace(c);
    const body: WorkspaceAppsResponse = { apps: (await apps.ofWorkspace(workspace.id)).map(shown) };
    return c.json(body);
  });

  router.post("/workspaces/:workspace/apps", user, async (c) => {
    const workspace = await paths.workspace(c);
    const { agent_name: agent, ...app } = await readJson(c, addWorkspaceAppRequest, bodyBytes);
    return c.json(shown(await apps.add(workspace, agent, app)), 201);
  });

  router.patch("/workspaces/:workspace/apps/:slug", user, async (c) => {
    const workspace = await paths.workspace(c);
    const request = await readJson(c, changeWorkspaceAppRequest, bodyBytes);
    return c.json(shown(await apps.change(workspace, c.req.param("slug"), request)));
  });

  router.delete("/workspaces/:workspace/apps/:slug", user, async (c) => {
    const workspace = await paths.workspace(c);
    await apps.remove(workspace, c.req.param("slug"));
    return c.body(null, 204);
  });

  // Authenticated by the agent's token.
  router.put("/workspaceagents/me/apps", async (c) => {
    const { agent } = await requestAgent(c);
    const request = await readJson(c, putAgentAppsRequest, MAX_AGENT_APPS_BYTES);
    const replaced = await apps.replaceOfAgent(agent, request.apps);
    const body: AgentAppsResponse = { apps: replaced.apps.map(shown), ignored: [...replaced.ignored] };
    return c.json(body);
  });
}
