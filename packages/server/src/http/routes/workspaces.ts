import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { isUuid } from "coder-protocol/addresses";
import type { ExternalAgentCredentials } from "coder-protocol/rest/agents";
import {
  createBuildRequest,
  createWorkspaceRequest,
  renameWorkspaceRequest,
  usageRequest,
  type WorkspacesResponse,
} from "coder-protocol/rest/workspaces";
import type { Context } from "hono";
import { holderOf, mayUse } from "../../auth/authenticator.ts";
import { HttpFailure, notFound } from "../../base/errors.ts";
import type { AgentRow, UserRow, WorkspaceBuildRow, WorkspaceRow } from "../../db/schema.ts";
import { agentCommand } from "../../install/agent-command.ts";
import { agentStatus } from "../../workspaces/agent-state.ts";
import { parseWorkspaceQuery, type WorkspaceQuery } from "../../workspaces/workspace-search.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { readJson, readPage, requireUser, uuidParam } from "../reply.ts";
import { watchBySse, watchedWorkspace } from "../streams/watch.ts";
import { buildLogView, buildStatus, buildView, ORGANIZATION_NAME, TEMPLATE_NAME, workspaceView } from "../views.ts";
import { pathUser } from "./users.ts";

const DEFAULT_PAGE = 10_000;

export function workspaceRoutes(router: Router, context: RouteContext): void {
  const { store, workspaces, limits } = context;
  const user = requireUser(context);

  router.get("/workspaces", user, async (c) => {
    const page = readPage(c, DEFAULT_PAGE);
    const rows = await searchWorkspaces(c, context);
    const body: WorkspacesResponse = { workspaces: [], count: rows.length };
    for (const row of rows.slice(page.offset, page.offset + page.limit)) {
      body.workspaces.push(await workspaceView(context, row));
    }
    return c.json(body);
  });

  const create = async (c: Context<HttpEnv>): Promise<Response> => {
    const owner = await pathUser(c, context);
    const request = await readJson(c, createWorkspaceRequest, limits.bodyBytes);
    const workspace = await workspaces.create(owner, c.get("auth").user, request);
    return c.json(await workspaceView(context, workspace), 201);
  };
  router.post("/users/:user/workspaces", user, create);
  // Older clients name the organization and the member.
  router.post("/organizations/:organization/members/:user/workspaces", user, create);

  router.get("/users/:user/workspace/:name", user, async (c) => {
    const owner = await pathUser(c, context);
    const name = c.req.param("name");
    const workspace =
      (await store.workspaces.byOwnerAndName(owner.id, name)) ??
      (c.req.query("include_deleted") === "true"
        ? await store.workspaces.deletedByOwnerAndName(owner.id, name)
        : undefined);
    if (workspace === undefined) throw notFound();
    return c.json(await workspaceView(context, workspace));
  });

  router.get("/users/:user/workspace/:name/builds/:number", user, async (c) => {
    const owner = await pathUser(c, context);
    const workspace = await store.workspaces.byOwnerAndName(owner.id, c.req.param("name"));
    const number = Number(c.req.param("number"));
    if (workspace === undefined || !Number.isSafeInteger(number)) throw notFound();
    const build = await store.builds.byNumber(workspace.id, number);
    if (build === undefined) throw notFound();
    return c.json(await buildView(context, workspace, build));
  });

  router.get("/workspaces/:workspace", user, async (c) => {
    const workspace = await pathWorkspace(c, context, c.req.query("include_deleted") === "true");
    return c.json(await workspaceView(context, workspace));
  });

  router.patch("/workspaces/:workspace", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    await workspaces.rename(workspace, (await readJson(c, renameWorkspaceRequest, limits.bodyBytes)).name);
    return c.body(null, 204);
  });

  router.get("/workspaces/:workspace/watch", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    watchBySse(
      context,
      c.env.outgoing,
      holderOf(c.get("auth"), { workspaceId: workspace.id }),
      watchedWorkspace(context, workspace.id),
    );
    return RESPONSE_ALREADY_SENT;
  });

  router.post("/workspaces/:workspace/usage", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    const usage = await readJson(c, usageRequest, limits.bodyBytes);
    if (usage.agent_id !== undefined) {
      const agent = await store.agents.byId(usage.agent_id.toLowerCase());
      if (agent?.workspace_id !== workspace.id) {
        throw new HttpFailure(400, "The agent does not belong to this workspace");
      }
    }
    await store.workspaces.touch(workspace.id, context.clock.now());
    return c.body(null, 204);
  });

  router.get("/workspaces/:workspace/builds", user, async (c) => {
    const workspace = await pathWorkspace(c, context, true);
    const views = [];
    for (const build of await store.builds.list(workspace.id, readPage(c, 100))) {
      views.push(await buildView(context, workspace, build));
    }
    return c.json(views);
  });

  router.post("/workspaces/:workspace/builds", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    const request = await readJson(c, createBuildRequest, limits.bodyBytes);
    const version = request.template_version_id ?? "";
    if (version !== "" && version !== context.deployment.templateVersionId) {
      throw new HttpFailure(400, "Template version not found.", {
        validations: [{ field: "template_version_id", detail: "template version not found" }],
      });
    }
    if (request.dry_run === true) throw new HttpFailure(400, "There is nothing to try out in an external workspace");
    const build = await workspaces.transition(workspace, c.get("auth").user, {
      transition: request.transition,
      reason: request.reason ?? "initiator",
    });
    return c.json(await buildView(context, workspace, build), 201);
  });

  router.get("/workspaces/:workspace/external-agent/:agent/credentials", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    const agent = await pathAgentName(c, context, workspace);
    return c.json(credentials(context, agent, workspaces.agentToken(agent)));
  });

  router.post("/workspaces/:workspace/external-agent/:agent/rotate", user, async (c) => {
    const workspace = await pathWorkspace(c, context);
    const agent = await pathAgentName(c, context, workspace);
    return c.json(credentials(context, agent, await workspaces.rotateAgentToken(agent.id)), 201);
  });

  router.get("/workspaces/:workspace/resolve-autostart", user, async (c) => {
    await pathWorkspace(c, context);
    return c.json({ parameter_mismatch: false });
  });

  router.get("/workspacebuilds/:build", user, async (c) => {
    const { workspace, build } = await pathBuild(c, context);
    return c.json(await buildView(context, workspace, build));
  });

  router.get("/workspacebuilds/:build/resources", user, async (c) => {
    const { workspace, build } = await pathBuild(c, context);
    return c.json((await buildView(context, workspace, build)).resources);
  });

  router.get("/workspacebuilds/:build/parameters", user, async (c) => {
    await pathBuild(c, context);
    return c.json([]);
  });

  router.get("/workspacebuilds/:build/logs", user, async (c) => {
    const { build } = await pathBuild(c, context);
    const after = Number(c.req.query("after") ?? 0);
    return c.json([buildLogView(build)].filter((log) => !(log.id <= after)));
  });

  router.patch("/workspacebuilds/:build/cancel", user, async (c) => {
    await pathBuild(c, context);
    throw new HttpFailure(400, "Job has already completed!");
  });
}

/** `:workspace` of the path, if the user may use it: 404 otherwise, 410 for one that is deleted. */
async function pathWorkspace(c: Context<HttpEnv>, context: RouteContext, withDeleted = false): Promise<WorkspaceRow> {
  const workspace = await context.store.workspaces.byId(uuidParam(c, "workspace"));
  if (workspace === undefined || !mayUse(c.get("auth").user, workspace)) throw notFound();
  if (workspace.deleted_at !== null && !withDeleted) {
    throw new HttpFailure(
      410,
      `Workspace "${workspace.name}" was deleted, you can view this workspace by specifying '?deleted=true' and trying again.`,
    );
  }
  return workspace;
}

async function pathAgentName(c: Context<HttpEnv>, context: RouteContext, workspace: WorkspaceRow): Promise<AgentRow> {
  const agents = await context.store.agents.ofWorkspace(workspace.id);
  const agent = agents.find((candidate) => candidate.name === c.req.param("agent"));
  if (agent === undefined) throw notFound();
  return agent;
}

async function pathBuild(
  c: Context<HttpEnv>,
  context: RouteContext,
): Promise<{ workspace: WorkspaceRow; build: WorkspaceBuildRow }> {
  const found = await visibleBuild(context, c.get("auth").user, uuidParam(c, "build"));
  if (found === undefined) throw notFound();
  return found;
}

/** Builds of deleted workspaces stay visible: the CLI reads the build that deletes. */
export async function visibleBuild(
  context: RouteContext,
  user: UserRow,
  buildId: string,
): Promise<{ workspace: WorkspaceRow; build: WorkspaceBuildRow } | undefined> {
  const build = await context.store.builds.byId(buildId);
  const workspace = build === undefined ? undefined : await context.store.workspaces.byId(build.workspace_id);
  if (build === undefined || workspace === undefined || !mayUse(user, workspace)) return undefined;
  return { workspace, build };
}

function credentials(context: RouteContext, agent: AgentRow, token: string): ExternalAgentCredentials {
  return { command: agentCommand(context.accessUrl(), agent, token), agent_token: token };
}

/** What the caller may see of what the query asks for. */
async function searchWorkspaces(c: Context<HttpEnv>, context: RouteContext): Promise<WorkspaceRow[]> {
  const query = parseWorkspaceQuery(c.req.query("q") ?? "");
  if ("problem" in query) {
    throw new HttpFailure(400, "Invalid workspace search query.", {
      validations: [{ field: "q", detail: query.problem }],
    });
  }
  const { user } = c.get("auth");
  const owner = await queriedOwner(context, user, query);
  if (owner === "nobody" || query.nothing || !matchesDeployment(context, query)) return [];
  const rows = await context.store.workspaces.list({ ownerId: owner, nameContains: query.name?.toLowerCase() });
  const matching: WorkspaceRow[] = [];
  for (const row of rows) {
    if (matchesRow(row, query) && (await matchesStatus(context, row, query))) matching.push(row);
  }
  return matching;
}

/** There is one template, and one organization. */
function matchesDeployment({ deployment }: RouteContext, { template, organization }: WorkspaceQuery): boolean {
  return (
    (template === undefined || template.toLowerCase() === TEMPLATE_NAME) &&
    (organization === undefined || [ORGANIZATION_NAME, "default", deployment.organizationId].includes(organization))
  );
}

function matchesRow(row: WorkspaceRow, { id, lastUsedBefore, lastUsedAfter }: WorkspaceQuery): boolean {
  return (
    (id === undefined || row.id === id) &&
    (lastUsedBefore === undefined || row.last_used_at <= lastUsedBefore) &&
    (lastUsedAfter === undefined || row.last_used_at >= lastUsedAfter)
  );
}

/** Whose workspaces: an id, undefined for everybody's, or "nobody". */
async function queriedOwner(
  context: RouteContext,
  user: UserRow,
  query: WorkspaceQuery,
): Promise<string | undefined | "nobody"> {
  const everybody = user.role === "owner" ? undefined : user.id;
  if (query.owner === undefined) return everybody;
  if (query.owner === "me") return user.id;
  const named = isUuid(query.owner)
    ? await context.store.users.byId(query.owner.toLowerCase())
    : await context.store.users.byUsername(query.owner);
  return named === undefined || (everybody !== undefined && named.id !== everybody) ? "nobody" : named.id;
}

async function matchesStatus(context: RouteContext, row: WorkspaceRow, query: WorkspaceQuery): Promise<boolean> {
  if (query.status !== undefined) {
    const build = await context.store.builds.latest(row.id);
    if (build === undefined || buildStatus(build) !== query.status) return false;
  }
  const { hasAgent } = query;
  if (hasAgent !== undefined) {
    const now = context.clock.now();
    const agents = await context.store.agents.ofWorkspace(row.id);
    if (!agents.some((agent) => hasAgent.includes(agentStatus(agent, now)))) return false;
  }
  return true;
}
