/**
 * The control connections of agents: which agent each belongs to, which one stays when several agents have one token, and their
 * heartbeats.
 */

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { MISSING_AGENT_VERSION } from "coder-protocol/version";
import { onAbort } from "wg-userspace/async/abort";
import type { DerpMap } from "wg-userspace/derp/map";
import { endsAgentSession } from "../auth/access-events.ts";
import type { AuthenticatedAgent, Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import type { AgentState } from "../workspaces/agent-state.ts";
import type { Changes } from "../workspaces/changes.ts";
import type { DeclaredApps } from "../workspaces/declared-apps.ts";
import { AgentArrivals, type AgentNames, type Arrival } from "./agent-arrivals.ts";
import { agentService } from "./agent-service.ts";
import { checkAgain } from "./check-again.ts";
import { PING_INTERVAL_MS } from "./connection-end.ts";
import type { ConnectionLog } from "./connection-log.ts";
import type { ControlSettings } from "./control-settings.ts";
import type { ControlSockets } from "./control-sockets.ts";
import type { Coordinator } from "./coordinator.ts";
import type { OpenSocket } from "./open-socket.ts";
import { agentAuth } from "./peer-auth.ts";
import type { PeerReports } from "./peer-reports.ts";
import { requireVersion } from "./require-version.ts";
import type { ResumeHolder } from "./resume-token.ts";
import { tailnetService } from "./tailnet-service.ts";
import { TokenContests } from "./token-contests.ts";

export interface AgentSessionsOptions {
  readonly sockets: ControlSockets;
  readonly connectionLog: ConnectionLog;
  readonly reports: PeerReports;
  readonly authenticator: Authenticator;
  readonly agentState: AgentState;
  readonly declaredApps: DeclaredApps;
  readonly changes: Changes;
  readonly settings: ControlSettings;
  readonly relayMap: () => DerpMap;
  readonly coordinator: Pick<Coordinator, "isConnected" | "isElsewhere">;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly clock: WallClock;
  readonly log: Logger;
}

export class AgentSessions {
  readonly route: UpgradeRoute = {
    name: "agent rpc",
    upgradeOnly: true,
    match: ({ pathname }) => pathname === "/api/v2/workspaceagents/me/rpc",
    handle: (...args) => this.#agent(...args),
  };
  readonly #options: AgentSessionsOptions;
  readonly #contests = new TokenContests();
  readonly #arrivals: AgentArrivals;

  constructor(options: AgentSessionsOptions) {
    this.#options = options;
    this.#arrivals = new AgentArrivals(options);
  }

  /** The addresses of the agents that compete for one token; undefined if there is no contest. */
  contest(agentId: string): readonly string[] | undefined {
    return this.#contests.addresses(agentId, this.#options.clock.now());
  }

  /** Forgets contests that are over. */
  sweep(): void {
    this.#contests.sweep(this.#options.clock.now());
  }

  async #agent(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { sockets, authenticator, reports, log } = this.#options;
    sockets.throwRefusal();
    const url = new URL(request.url ?? "/", "http://server");
    const identity = await authenticator.authenticateAgent(request);
    if (identity instanceof DomainError) throw identity;
    requireVersion(url, MISSING_AGENT_VERSION);
    const { agent } = identity;
    const address = this.#options.clientAddress(request);
    this.#refuseContest(identity, address);
    const version = url.searchParams.get("version") ?? MISSING_AGENT_VERSION;
    let arrival: Arrival | undefined;
    const open = this.#serve(request, socket, head, {
      identity,
      address,
      onClosed: async (isLast) => {
        if (isLast) reports.forget(agent.id);
        if (arrival !== undefined) await this.#arrivals.ended(arrival);
      },
    });
    if (open === undefined) return;
    const begun = this.#arrivals.begin(identity, version, open);
    arrival = begun;
    if (!(await checkAgain(open, log, () => this.#arrivals.store(begun)))) return;
    const heartbeat = setInterval(() => {
      this.#arrivals.answers(begun).catch((error: unknown) => log.error({ err: error }, "heartbeat not stored"));
    }, PING_INTERVAL_MS);
    onAbort(open.over, () => clearInterval(heartbeat));
  }

  #serve(request: IncomingMessage, socket: Duplex, head: Buffer, session: AgentSession): OpenSocket | undefined {
    const { sockets, reports, connectionLog, settings, clock } = this.#options;
    const { identity, address, onClosed } = session;
    const { agent, owner } = identity;
    const auth = agentAuth(agent.id, (event) => endsAgentSession(event, { agentId: agent.id, ownerId: owner.id }));
    const resume: ResumeHolder = {
      kind: "agent",
      userId: owner.id,
      keyId: String(agent.token_generation),
      agentId: agent.id,
    };
    return sockets.serve(request, socket, head, {
      id: agent.id,
      auth,
      userId: owner.id,
      address,
      services: (deps, over) => [
        tailnetService({ id: agent.id, auth, resume }, deps),
        agentService(identity, {
          agentState: this.#options.agentState,
          over,
          declaredApps: this.#options.declaredApps,
          portProxyAddress: settings.portProxyAddress,
          now: () => clock.now(),
          relayMap: this.#options.relayMap,
          disableDirectConnections: settings.blockDirect,
          forceWebSockets: settings.forceWebSockets,
          onConnection: (agentId, connection, type) => connectionLog.reported(agentId, connection, type),
          onStats: (agentId, stats) => reports.stats(agentId, stats, clock.now()),
        }),
      ],
      pingsSocket: false,
      onClosed,
    });
  }

  /** Call when an agent that was connected here has connected to another server: itself, or another agent with its token. */
  takenOver(agentId: string): void {
    const known = this.#arrivals.of(agentId);
    if (known !== undefined) this.#mayTakeOver(known, addressesOf(this.#options.sockets, agentId));
  }

  /** Counts a takeover. Reports a contest when it begins. */
  #mayTakeOver({ agent, workspace }: AgentNames, addresses: readonly string[]): boolean {
    const { log, changes, clock } = this.#options;
    const wasContested = this.contest(agent.id) !== undefined;
    if (this.#contests.mayTakeOver(agent.id, addresses, clock.now())) return true;
    if (wasContested) return false;
    log.warn(
      { workspace: workspace.name, agent: agent.name, agentId: agent.id, addresses: this.contest(agent.id) },
      "several agents use one token: the one that is connected stays, the others are refused",
    );
    changes.publish({ kind: "workspace", workspaceId: workspace.id });
    return false;
  }

  /** Throws DomainError "contested" for an agent if another with its token has repeatedly been connected before it. */
  #refuseContest(names: AgentNames, address: string): void {
    const { sockets, coordinator } = this.#options;
    const { id } = names.agent;
    const others = addressesOf(sockets, id);
    // Takeovers between servers are counted by the server that the agent left.
    const isFree = this.contest(id) === undefined || !coordinator.isElsewhere(id);
    if (others.length === 0 && isFree) return;
    if (this.#mayTakeOver(names, [...others, address])) return;
    const where = others.length === 0 ? "at another server of this deployment" : `at ${others.join(", ")}`;
    throw new DomainError("contested", "Another agent with the same token is connected.", {
      detail: `It is ${where}. Stop one of the two, or give this one a workspace and a token of its own.`,
      retryAfterSeconds: 10,
    });
  }
}

/** The addresses of an agent's connections to this server. */
function addressesOf({ open }: Pick<ControlSockets, "open">, agentId: string): string[] {
  if (open.countOf(agentId) === 0) return [];
  return [...new Set([...open].filter(({ id }) => id === agentId).map(({ address }) => address))];
}

interface AgentSession {
  readonly identity: AuthenticatedAgent;
  readonly address: string;
  readonly onClosed: (isLast: boolean) => Promise<void>;
}
