import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import type { ExternalAgentCredentials } from "coder-protocol/rest/agents";
import {
  createBuildRequest,
  createWorkspaceRequest,
  renameWorkspaceRequest,
  usageRequest,
  type WorkspacesResponse,
} from "coder-protocol/rest/workspaces";
import type { Context } from "hono";
import { decidedHolderOf } from "../../auth/authenticator.ts";
import type { WallClock } from "../../base/clock.ts";
import { notFound } from "../../base/domain-error.ts";
import type { OwnAddresses } from "../../base/own-addresses.ts";
import type { AgentRow } from "../../db/schema.ts";
import type { DeploymentIds, Tables } from "../../db/store.ts";
import { agentCommand } from "../../install/agent-command.ts";
import { parseWorkspaceQuery } from "../../workspaces/workspace-query.ts";
import type { WorkspaceSearch } from "../../workspaces/workspace-search.ts";
import type { WorkspaceService } from "../../workspaces/workspace-service.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson, readPage } from "../reply.ts";
import type { Watches } from "../streams/watch.ts";
import type { Watchables } from "../streams/watched.ts";
import type { WorkspacePresenter } from "../views/presenter.ts";
import { buildLogView } from "../views/workspaces.ts";
import { pathUser } from "./path-user.ts";
import { WorkspacePaths } from "./workspace-paths.ts";

const DEFAULT_PAGE = 10_000;

export interface WorkspaceRoutesDeps {
  readonly user: Guard;
  readonly tables: Pick<Tables, "users" | "workspaces" | "builds" | "agents">;
  readonly workspaces: WorkspaceService;
  readonly search: WorkspaceSearch;
  readonly presenter: WorkspacePresenter;
  readonly watches: Watches;
  readonly watchables: Watchables;
  readonly addresses: Pick<OwnAddresses, "accessUrl">;
  readonly deployment: DeploymentIds;
  readonly clock: WallClock;
  readonly bodyBytes: number;
}

export function workspaceRoutes(router: Router, deps: WorkspaceRoutesDeps): void {
  const { user, tables, workspaces, presenter, bodyBytes } = deps;
  const paths = new WorkspacePaths(tables);
  const credentials = (agent: AgentRow, token: string): ExternalAgentCredentials => {
    const url = deps.addresses.accessUrl();
    const on = (system: string): string => agentCommand(url, { ...agent, operating_system: system }, token);
    return {
      command: agentCommand(url, agent, token),
      agent_token: token,
      commands: { linux: on("linux"), darwin: on("darwin"), windows: on("windows") },
    };
  };

  router.get("/workspaces", user, async (c) => {
    const page = readPage(c, DEFAULT_PAGE);
    const query = parseWorkspaceQuery(c.req.query("q") ?? "");
    if ("problem" in query) {
      throw new HttpFailure(400, "Invalid workspace search query.", {
        validations: [{ field: "q", detail: query.problem }],
      });
    }
    const rows = await deps.search.visible(c.get("auth").user, query);
    const body: WorkspacesResponse = {
      workspaces: await presenter.workspaces(rows.slice(page.offset, page.offset + page.limit)),
      count: rows.length,
    };
    return c.json(body);
  });

  const create = async (c: Context<HttpEnv>): Promise<Response> => {
    const owner = await pathUser(c, tables.users);
    const request = await readJson(c, createWorkspaceRequest, bodyBytes);
    const workspace = await workspaces.create(owner, c.get("auth").user, request);
    return c.json(await presenter.workspace(workspace), 201);
  };
  router.post("/users/:user/workspaces", user, create);
  // Older clients name the organization and the member.
  router.post("/organizations/:organization/members/:user/workspaces", user, create);

  router.get("/users/:user/workspace/:name", user, async (c) => {
    const owner = await pathUser(c, tables.users);
    const name = c.req.param("name");
    const workspace =
      (await tables.workspaces.byOwnerAndName(owner.id, name)) ??
      (c.req.query("include_deleted") === "true"
        ? await tables.workspaces.deletedByOwnerAndName(owner.id, name)
        : undefined);
    if (workspace === undefined) throw notFound();
    return c.json(await presenter.workspace(workspace));
  });

  router.get("/users/:user/workspace/:name/builds/:number", user, async (c) => {
    const owner = await pathUser(c, tables.users);
    const workspace = await tables.workspaces.byOwnerAndName(owner.id, c.req.param("name"));
    const number = Number(c.req.param("number"));
    if (workspace === undefined || !Number.isSafeInteger(number)) throw notFound();
    const build = await tables.builds.byNumber(workspace.id, number);
    if (build === undefined) throw notFound();
    return c.json(await presenter.build(workspace, build));
  });

  router.get("/workspaces/:workspace", user, async (c) => {
    const workspace = await paths.workspace(c, c.req.query("include_deleted") === "true");
    return c.json(await presenter.workspace(workspace));
  });

  router.patch("/workspaces/:workspace", user, async (c) => {
    const workspace = await paths.workspace(c);
    await workspaces.rename(workspace, (await readJson(c, renameWorkspaceRequest, bodyBytes)).name);
    return c.body(null, 204);
  });

  router.get("/workspaces/:workspace/watch", user, async (c) => {
    const workspace = await paths.workspace(c);
    const holder = decidedHolderOf(c.get("auth"), { workspaceId: workspace.id });
    deps.watches.bySse(c.env.outgoing, holder, deps.watchables.workspace(workspace.id));
    return RESPONSE_ALREADY_SENT;
  });

  router.post("/workspaces/:workspace/usage", user, async (c) => {
    const workspace = await paths.workspace(c);
    const usage = await readJson(c, usageRequest, bodyBytes);
    if (usage.agent_id !== undefined) {
      const agent = await tables.agents.byId(usage.agent_id.toLowerCase());
      if (agent?.workspace_id !== workspace.id) {
        throw new HttpFailure(400, "The agent does not belong to this workspace");
      }
    }
    await tables.workspaces.touch([workspace.id], deps.clock.now());
    return c.body(null, 204);
  });

  router.get("/workspaces/:workspace/builds", user, async (c) => {
    const workspace = await paths.workspace(c, true);
    return c.json(await presenter.builds(workspace, await tables.builds.list(workspace.id, readPage(c, 100))));
  });

  router.post("/workspaces/:workspace/builds", user, async (c) => {
    const workspace = await paths.workspace(c);
    const request = await readJson(c, createBuildRequest, bodyBytes);
    const version = request.template_version_id ?? "";
    if (version !== "" && version !== deps.deployment.templateVersionId) {
      throw new HttpFailure(400, "Template version not found.", {
        validations: [{ field: "template_version_id", detail: "template version not found" }],
      });
    }
    if (request.dry_run === true) throw new HttpFailure(400, "There is nothing to try out in an external workspace");
    const build = await workspaces.transition(workspace, c.get("auth").user, {
      transition: request.transition,
      reason: request.reason ?? "initiator",
    });
    return c.json(await presenter.build(workspace, build), 201);
  });

  router.get("/workspaces/:workspace/external-agent/:agent/credentials", user, async (c) => {
    const workspace = await paths.workspace(c);
    const agent = await paths.agent(c, workspace);
    return c.json(credentials(agent, workspaces.agentToken(agent)));
  });

  router.post("/workspaces/:workspace/external-agent/:agent/rotate", user, async (c) => {
    const workspace = await paths.workspace(c);
    const agent = await paths.agent(c, workspace);
    return c.json(credentials(agent, await workspaces.rotateAgentToken(agent.id)), 201);
  });

  router.get("/workspaces/:workspace/resolve-autostart", user, async (c) => {
    await paths.workspace(c);
    return c.json({ parameter_mismatch: false });
  });

  router.get("/workspacebuilds/:build", user, async (c) => {
    const { workspace, build } = await paths.build(c);
    return c.json(await presenter.build(workspace, build));
  });

  router.get("/workspacebuilds/:build/resources", user, async (c) => {
    const { workspace, build } = await paths.build(c);
    return c.json((await presenter.build(workspace, build)).resources);
  });

  router.get("/workspacebuilds/:build/parameters", user, async (c) => {
    await paths.build(c);
    return c.json([]);
  });

  router.get("/workspacebuilds/:build/logs", user, async (c) => {
    const { build } = await paths.build(c);
    const after = Number(c.req.query("after") ?? 0);
    return c.json([buildLogView(build)].filter((log) => !(log.id <= after)));
  });

  router.patch("/workspacebuilds/:build/cancel", user, async (c) => {
    await paths.build(c);
    throw new HttpFailure(400, "Job has already completed!");
  });
}
