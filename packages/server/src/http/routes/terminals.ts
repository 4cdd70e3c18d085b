/** The terminals of an agent that are kept between connections. */
import { isUuid } from "coder-protocol/addresses";
import { patchTerminalRequest, type TerminalsResponse } from "coder-protocol/rest/terminals";
import type { Context } from "hono";
import type { AgentTerminals } from "../../apps/agent-terminals.ts";
import type { Authenticator } from "../../auth/authenticator.ts";
import type { WallClock } from "../../base/clock.ts";
import { notFound } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import type { AgentHttp } from "../../tunnels/agent-http.ts";
import type { TunnelRequest } from "../../tunnels/agent-tunnels.ts";
import { agentStatus } from "../../workspaces/agent-state.ts";
import { HttpFailure } from "../failure.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { readJson, uuidParam } from "../reply.ts";

export interface TerminalRoutesDeps {
  readonly user: Guard;
  readonly authenticator: Authenticator;
  readonly agentTerminals: Pick<AgentTerminals, "list">;
  readonly agentHttp: AgentHttp;
  readonly clock: WallClock;
  readonly bodyBytes: number;
  readonly log: Logger;
}

export function terminalRoutes(router: Router, deps: TerminalRoutesDeps): void {
  const { user, authenticator, agentHttp, log } = deps;

  /** A tunnel request for the agent named by `:agent`, if the user may reach it. */
  const pathAgent = async (c: Context<HttpEnv>): Promise<TunnelRequest> => {
    const auth = c.get("auth");
    const agent = await authenticator.canReachAgent(auth.user, uuidParam(c, "agent"));
    if (agent === undefined) throw notFound();
    if (agentStatus(agent, deps.clock.now()) !== "connected") throw new HttpFailure(409, "The agent is not connected");
    return { agentId: agent.id, keyId: auth.key.id, token: auth.token, userId: auth.user.id };
  };
  const askAgent = async <Answer>(request: TunnelRequest, ask: Promise<Answer>): Promise<Answer> => {
    try {
      return await ask;
    } catch (error) {
      log.info({ err: error, agent: request.agentId }, "asking the agent for its terminals failed");
      throw new HttpFailure(502, "The agent did not answer", { detail: "Try again once the workspace is reachable." });
    }
  };
  const pathTerminal = (c: Context<HttpEnv>): string => {
    const id = (c.req.param("terminal") ?? "").toLowerCase();
    if (!isUuid(id)) throw notFound();
    return id;
  };

  router.get("/workspaceagents/:agent/terminals", user, async (c) => {
    const request = await pathAgent(c);
    const { terminals, supported } = await askAgent(request, deps.agentTerminals.list(request));
    const body: TerminalsResponse = { terminals, supported: supported ? undefined : false };
    return c.json(body);
  });

  router.delete("/workspaceagents/:agent/terminals/:terminal", user, async (c) => {
    const request = await pathAgent(c);
    if (!(await askAgent(request, agentHttp.endTerminal(request, pathTerminal(c))))) throw notFound();
    return c.body(null, 204);
  });

  router.patch("/workspaceagents/:agent/terminals/:terminal", user, async (c) => {
    const request = await pathAgent(c);
    const { title } = await readJson(c, patchTerminalRequest, deps.bodyBytes);
    if (!(await askAgent(request, agentHttp.renameTerminal(request, pathTerminal(c), title)))) throw notFound();
    return c.json({});
  });
}
