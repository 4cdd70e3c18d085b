import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { LOWEST_APP_PORT } from "coder-protocol/app-addresses";
import {
  type ConnectionInfo,
  type ContainersResponse,
  type ListeningPortsResponse,
  patchAgentLogsRequest,
  postLogSourceRequest,
} from "coder-protocol/rest/agents";
import type { Context } from "hono";
import type { AgentPorts, PortProbe } from "../../apps/agent-ports.ts";
import { type AuthenticatedAgent, type Authenticator, decidedHolderOf } from "../../auth/authenticator.ts";
import { formatTime, type WallClock } from "../../base/clock.ts";
import { notFound } from "../../base/domain-error.ts";
import type { ControlPlane } from "../../control/control-plane.ts";
import type { AgentLogs } from "../../db/agent-logs.ts";
import type { AgentRow } from "../../db/schema.ts";
import type { AgentState } from "../../workspaces/agent-state.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import type { HttpLimits } from "../limits.ts";
import { readJson, uuidParam } from "../reply.ts";
import type { SenderOf } from "../senders.ts";
import type { Watches } from "../streams/watch.ts";
import type { Watchables } from "../streams/watched.ts";
import { agentLogView } from "../views/agents.ts";
import type { WorkspacePresenter } from "../views/presenter.ts";
import { logsAfter } from "./logs-after.ts";

const MAX_LOGS_PER_ANSWER = 50_000;
const MAX_PROBED_PORTS = 16;

export interface AgentRoutesDeps {
  readonly user: Guard;
  readonly requestAgent: SenderOf<AuthenticatedAgent>;
  readonly authenticator: Authenticator;
  readonly agentState: AgentState;
  readonly agentLogs: AgentLogs;
  readonly agentPorts: AgentPorts;
  readonly control: Pick<ControlPlane, "connectionInfo" | "agentNetwork">;
  readonly connectionPolicies: ConnectionPolicies;
  readonly presenter: WorkspacePresenter;
  readonly watches: Watches;
  readonly watchables: Watchables;
  readonly clock: WallClock;
  readonly limits: Pick<HttpLimits, "bodyBytes" | "logBodyBytes">;
}

export function agentRoutes(router: Router, deps: AgentRoutesDeps): void {
  const { user, requestAgent, authenticator, agentState, agentLogs, control, connectionPolicies, presenter, limits } =
    deps;

  const connectionInfo = (browserOnly: boolean): ConnectionInfo => ({
    ...control.connectionInfo(),
    browser_only: browserOnly || undefined,
  });

  /** The agent named by `:agent`, if the user may reach it. */
  const pathAgent = async (c: Context<HttpEnv>): Promise<AgentRow> => {
    const agent = await authenticator.canReachAgent(c.get("auth").user, uuidParam(c, "agent"));
    if (agent === undefined) throw notFound();
    return agent;
  };

  // Must precede /workspaceagents/:agent, which would take "connection" for an id.
  router.get("/workspaceagents/connection", user, async (c) =>
    c.json(connectionInfo(await connectionPolicies.inEveryWorkspace(c.get("auth").user))),
  );

  router.patch("/workspaceagents/me/logs", async (c) => {
    const { agent } = await requestAgent(c);
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
    const { agent } = await requestAgent(c);
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
    await requestAgent(c);
    throw new HttpFailure(404, "This server keeps no SSH keys for git");
  });

  router.get("/workspaceagents/:agent", user, async (c) => c.json(await presenter.agent(await pathAgent(c))));

  router.get("/workspaceagents/:agent/connection", user, async (c) => {
    const agent = await pathAgent(c);
    return c.json(connectionInfo((await connectionPolicies.refusal(c.get("auth").user, agent.id)) !== undefined));
  });

  router.get("/workspaceagents/:agent/logs", user, async (c) => {
    const agent = await pathAgent(c);
    const logs = await agentLogs.list(agent.id, {
      after: logsAfter(c.req.query("after")),
      limit: MAX_LOGS_PER_ANSWER,
    });
    return c.json(logs.map(agentLogView));
  });

  router.get("/workspaceagents/:agent/listening-ports", user, async (c) => {
    const agent = await pathAgent(c);
    const auth = c.get("auth");
    const request = { keyId: auth.key.id, token: auth.token, userId: auth.user.id };
    const probe = portProbe(new URL(c.req.url).searchParams.getAll("probe"));
    const body: ListeningPortsResponse = await deps.agentPorts.listening(agent, request, probe);
    return c.json(body);
  });

  router.get("/workspaceagents/:agent/watch-metadata", user, async (c) => {
    const agent = await pathAgent(c);
    const holder = decidedHolderOf(c.get("auth"), { agentId: agent.id });
    deps.watches.bySse(c.env.outgoing, holder, deps.watchables.metadata(agent.id));
    return RESPONSE_ALREADY_SENT;
  });

  // Stock servers have no such route, so clients treat a 404 as "unknown".
  router.get("/workspaceagents/:agent/network", user, async (c) => {
    const agent = await pathAgent(c);
    const network = control.agentNetwork(agent.id);
    if (network === undefined) throw new HttpFailure(409, "The agent is not connected");
    return c.json(network);
  });

  router.get("/workspaceagents/:agent/containers", user, async (c) => {
    await pathAgent(c);
    // Agents of this product run no containers.
    const body: ContainersResponse = { devcontainers: [], containers: [], warnings: [] };
    return c.json(body);
  });
}

/** Reads `?probe=shared&probe=3000`. Throws HttpFailure. */
function portProbe(values: readonly string[]): PortProbe {
  const numbers = values.filter((value) => value !== "shared");
  const ports = numbers.map((text) => (/^[0-9]{1,5}$/.test(text) ? Number(text) : 0));
  if (numbers.length > MAX_PROBED_PORTS || ports.some((port) => port < LOWEST_APP_PORT || port > 65_535))
    throw new HttpFailure(400, 'Query param "probe" is invalid', {
      detail: `It is "shared", or a port from ${LOWEST_APP_PORT} to 65535, at most ${MAX_PROBED_PORTS} times`,
    });
  return { shared: numbers.length < values.length, ports };
}
