import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import {
  type ConnectionInfo,
  type ContainersResponse,
  type ListeningPortsResponse,
  patchAgentLogsRequest,
  postLogSourceRequest,
} from "coder-protocol/rest/agents";
import type { Context } from "hono";
import { type AuthenticatedAgent, holderOf, requestToken } from "../../auth/authenticator.ts";
import { formatTime } from "../../base/clock.ts";
import { HttpFailure, notFound } from "../../base/errors.ts";
import type { AgentRow } from "../../db/schema.ts";
import { agentStatus } from "../../workspaces/agent-state.ts";
import type { HttpEnv, RouteContext, Router } from "../context.ts";
import { readJson, requireUser, uuidParam } from "../reply.ts";
import { watchBySse, watchedMetadata } from "../streams/watch.ts";
import { agentLogView, agentView } from "../views.ts";

const MAX_LOGS_PER_ANSWER = 50_000;

export function agentRoutes(router: Router, context: RouteContext): void {
  const { store, limits, agentState } = context;
  const user = requireUser(context);

  // Before /workspaceagents/:agent, which would take these words for an id.
  router.get("/workspaceagents/connection", user, async (c) => c.json(await connectionInfo(context)));

  router.patch("/workspaceagents/me/logs", async (c) => {
    const { agent } = await requestAgent(c, context);
    const request = await readJson(c, patchAgentLogsRequest, limits.logBodyBytes);
    const overflowed = await agentState.appendLogs(
      agent.id,
      request.log_source_id,
      request.logs.map((log) => ({ createdAt: Date.parse(log.created_at), output: log.output, level: log.level })),
    );
    if (overflowed) throw new HttpFailure(413, "Logs limit exceeded");
    return c.body(null, 204);
  });

  router.post("/workspaceagents/me/log-source", async (c) => {
    const { agent } = await requestAgent(c, context);
    const request = await readJson(c, postLogSourceRequest, limits.bodyBytes);
    const source = await agentState.addLogSource(agent.id, {
      id: request.id,
      displayName: request.display_name,
      icon: request.icon,
    });
    if (source === undefined) throw new HttpFailure(409, "The agent has too many log sources");
    return c.json(
      {
        workspace_agent_id: agent.id,
        id: source.id,
        created_at: formatTime(source.created_at),
        display_name: source.display_name,
        icon: source.icon,
      },
      201,
    );
  });

  router.get("/workspaceagents/me/gitsshkey", async (c) => {
    await requestAgent(c, context);
    throw new HttpFailure(404, "This server keeps no SSH keys for git");
  });

  router.get("/workspaceagents/:agent", user, async (c) =>
    c.json(await agentView(context, await pathAgent(c, context))),
  );

  router.get("/workspaceagents/:agent/connection", user, async (c) => {
    await pathAgent(c, context);
    return c.json(await connectionInfo(context));
  });

  router.get("/workspaceagents/:agent/logs", user, async (c) => {
    const agent = await pathAgent(c, context);
    const logs = await store.agentLogs.list(agent.id, {
      after: logsAfter(c.req.query("after")),
      limit: MAX_LOGS_PER_ANSWER,
    });
    return c.json(logs.map(agentLogView));
  });

  router.get("/workspaceagents/:agent/listening-ports", user, async (c) => {
    const agent = await pathAgent(c, context);
    const auth = c.get("auth");
    const token = requestToken(c.env.incoming)?.token;
    const askable = token !== undefined && agentStatus(agent, context.clock.now()) === "connected";
    const body: ListeningPortsResponse = askable
      ? await context.agentHttp.listeningPorts({ agentId: agent.id, keyId: auth.key.id, token })
      : { ports: [] };
    return c.json(body);
  });

  router.get("/workspaceagents/:agent/watch-metadata", user, async (c) => {
    const agent = await pathAgent(c, context);
    const holder = holderOf(c.get("auth"), { agentId: agent.id });
    watchBySse(context, c.env.outgoing, holder, watchedMetadata(context, agent.id));
    return RESPONSE_ALREADY_SENT;
  });

  // Ours: stock servers have no such route, so clients take a 404 for "not known".
  router.get("/workspaceagents/:agent/network", user, async (c) => {
    const agent = await pathAgent(c, context);
    const network = context.controlPlane()?.agentNetwork?.(agent.id);
    if (network === undefined) throw new HttpFailure(409, "The agent is not connected");
    return c.json(network);
  });

  router.get("/workspaceagents/:agent/containers", user, async (c) => {
    await pathAgent(c, context);
    // Agents here run no containers.
    const body: ContainersResponse = { devcontainers: [], containers: [], warnings: [] };
    return c.json(body);
  });
}

/** `:agent` of the path, if the user may reach it. */
async function pathAgent(c: Context<HttpEnv>, context: RouteContext): Promise<AgentRow> {
  const agent = await context.authenticator.canReachAgent(c.get("auth").user, uuidParam(c, "agent"));
  if (agent === undefined) throw notFound();
  return agent;
}

async function requestAgent(c: Context<HttpEnv>, context: RouteContext): Promise<AuthenticatedAgent> {
  const found = await context.authenticator.authenticateAgent(c.env.incoming);
  if (found instanceof HttpFailure) throw found;
  return found;
}

async function connectionInfo(context: RouteContext): Promise<ConnectionInfo> {
  const control = context.controlPlane();
  if (control !== undefined) return await control.connectionInfo();
  return {
    derp_map: null,
    derp_force_websockets: context.config.derp.forceWebsockets,
    disable_direct_connections: context.config.derp.blockDirect,
    hostname_suffix: context.config.workspaceHostnameSuffix,
  };
}

/** Id after which logs are wanted; 0 for the beginning. Throws HttpFailure 400. */
export function logsAfter(text: string | null | undefined): number {
  if (text === undefined || text === null || text === "") return 0;
  if (!/^-?\d{1,15}$/.test(text)) {
    throw new HttpFailure(400, 'Query param "after" must be an integer greater than or equal to zero.', {
      validations: [{ field: "after", detail: "Must be an integer greater than or equal to zero" }],
    });
  }
  return Math.max(0, Number(text));
}
