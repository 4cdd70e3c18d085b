import type { Context } from "hono";
import type { AuthenticatedUser, Authenticator } from "../../auth/authenticator.ts";
import { notFound } from "../../base/domain-error.ts";
import { agentCauses } from "../../control/agent-causes.ts";
import type { ControlPlane } from "../../control/control-plane.ts";
import { HISTORY_RANGES, type HistoryRange } from "../../control/network-history.ts";
import { type NetworkRecorder, WHOLE_DEPLOYMENT } from "../../control/network-recorder.ts";
import type { AgentRow } from "../../db/schema.ts";
import type { AgentHttp } from "../../tunnels/agent-http.ts";
import { HttpFailure } from "../failure.ts";
import { requireOwner } from "../guards.ts";
import type { Guard, HttpEnv, Router } from "../hono.ts";
import { uuidParam } from "../reply.ts";
import { regionViews } from "../views/regions.ts";

export interface NetworkRoutesDeps {
  readonly user: Guard;
  readonly authenticator: Pick<Authenticator, "canReachAgent">;
  readonly control: Pick<ControlPlane, "agentNetwork" | "relayMap">;
  readonly recorder: NetworkRecorder;
  readonly blockDirect: boolean;
  readonly agentHttp: AgentHttp;
  readonly embeddedRegionId: number | undefined;
  readonly now: () => number;
}

/** How agents are reached: now, over the last day, and what their networks allow. These routes extend those of stock servers. */
export function networkRoutes(router: Router, deps: NetworkRoutesDeps): void {
  const { user, authenticator, control, recorder, agentHttp, blockDirect, now } = deps;
  const pathAgent = async (c: Context<HttpEnv>): Promise<AgentRow> => {
    const agent = await authenticator.canReachAgent(c.get("auth").user, uuidParam(c, "agent"));
    if (agent === undefined) throw notFound();
    return agent;
  };

  router.get("/workspaceagents/:agent/netcheck", user, async (c) => {
    const agent = await pathAgent(c);
    if (control.agentNetwork(agent.id) === undefined) throw new HttpFailure(409, "The agent is not connected");
    const auth: AuthenticatedUser = c.get("auth");
    const found = await agentHttp.netcheck({
      agentId: agent.id,
      keyId: auth.key.id,
      token: auth.token,
      userId: auth.user.id,
    });
    if (found === undefined) throw new HttpFailure(502, "The agent could not be asked about its network");
    return c.json({ ...found, causes: agentCauses(found, { map: control.relayMap(), blockDirect }) });
  });

  router.get("/workspaceagents/:agent/network/history", user, async (c) => {
    const agent = await pathAgent(c);
    return c.json(recorder.history.read(agent.id, rangeOf(c), now()));
  });

  router.get("/deployment/network", user, requireOwner, (c) => {
    const { homes, connections } = recorder.current();
    return c.json({ regions: regionViews(control.relayMap(), homes, deps.embeddedRegionId), connections });
  });

  router.get("/deployment/network/history", user, requireOwner, (c) =>
    c.json(recorder.history.read(WHOLE_DEPLOYMENT, rangeOf(c), now())),
  );
}

function rangeOf(c: Context<HttpEnv>): HistoryRange {
  const range = c.req.query("range") ?? "1h";
  if (!Object.hasOwn(HISTORY_RANGES, range))
    throw new HttpFailure(400, `The range must be one of ${Object.keys(HISTORY_RANGES).join(", ")}`);
  return range as HistoryRange;
}
