/**
 * What browsers open at a proxy besides its relay: joins rights, tunnels and terminals, and owns the state that outlives a
 * request.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Deployment } from "coder-client/rest/deployment";
import { type IssueAppTokenRequest, PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import type { RegisterProxyResponse } from "coder-protocol/rest/workspace-proxies";
import { monotonicNow } from "wg-userspace/io/host/clock";
import { APP_TUNNEL_KEY, appDialer } from "../../apps/app-dialer.ts";
import { AppHost } from "../../apps/app-host.ts";
import { APP_REQUESTS, APP_WEB_SOCKETS } from "../../apps/app-limits.ts";
import { AppRouting } from "../../apps/app-routing.ts";
import { AppTraffic } from "../../apps/app-traffic.ts";
import type { AppDecision } from "../../apps/decision.ts";
import { PathHost, pathAppsDisabled } from "../../apps/path-host.ts";
import { ProgramPools } from "../../apps/program-pool.ts";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import type { Wildcard } from "../../base/wildcard.ts";
import { AgentHttp } from "../../tunnels/agent-http.ts";
import { AgentTunnels } from "../../tunnels/agent-tunnels.ts";
import { isTokenRefused, type Primary, type PrimaryInfo, publicReasonOf, reasonOf } from "../primary.ts";
import { AppGrants, grantKey } from "./app-grants.ts";
import { AppQuestions } from "./app-questions.ts";
import { AppTokens } from "./app-tokens.ts";
import { AppUses, type UsedApp } from "./app-uses.ts";
import { ASK_EVERY_MS, OpenRights } from "./open-rights.ts";
import { ProxyGate } from "./proxy-gate.ts";
import { ProxyPathGate } from "./proxy-path-gate.ts";
import { ProxyTerminals } from "./terminals.ts";
import { UseReports } from "./use-reports.ts";

const TUNNEL_LINGER_MS = 120_000;
/** Fewer than the primary serves for one address at a time, because registering and renewing need some. */
const APP_QUESTIONS: PlaceLimits = { total: 256, perAddress: 32 };

export interface ProxyAppsOptions {
  readonly primary: Pick<Primary, "cryptoKeys" | "issueAppToken" | "redeemTicket" | "reportUses"> & {
    readonly deployment: Deployment;
  };
  readonly primaryUrl: URL;
  readonly accessUrl: URL;
  /** Undefined if no app has a host of its own here. */
  readonly wildcard: Wildcard | undefined;
  /** Whether apps below paths are served. */
  readonly pathApps: boolean;
  /** The proxy's own token. May throw. */
  readonly proxyToken: () => string;
  /** The primary does not accept the proxy's token. */
  readonly onTokenRefused: () => void;
  readonly terminalLimits: PlaceLimits;
  readonly streams: OpenStreams;
  readonly clientAddress: (request: IncomingMessage) => string;
  /** Replaces the real tunnels. */
  readonly tunnels?: Pick<AgentTunnels, "acquire" | "end" | "close"> | undefined;
  readonly log: Logger;
}

export class ProxyApps {
  readonly routing: AppRouting;
  readonly #options: ProxyAppsOptions;
  readonly #tokens: AppTokens;
  readonly #rights: OpenRights;
  readonly #tunnels: Pick<AgentTunnels, "acquire" | "end" | "close">;
  readonly #terminals: ProxyTerminals;
  readonly #agentHttp: AgentHttp;
  readonly #pools: ProgramPools;
  readonly #grants: AppGrants;
  readonly #uses = new AppUses(randomUUID);
  readonly #reports: UseReports;
  #primaryInfo: PrimaryInfo | undefined;
  #registration: RegisterProxyResponse | undefined;

  constructor(options: ProxyAppsOptions) {
    const { primary, log } = options;
    this.#options = options;
    // The primary has ended the tunnel, or is about to, so a right that is granted later needs a new one.
    this.#rights = new OpenRights({
      clock: monotonicNow,
      now: Date.now,
      onAgentUnused: (agentId) => this.#tunnels.end({ agentId, keyId: APP_TUNNEL_KEY }),
    });
    this.#tokens = new AppTokens({
      primary,
      proxyToken: options.proxyToken,
      onTokenRefused: options.onTokenRefused,
      issuer: () => this.#primaryInfo?.deployment_id,
      clock: monotonicNow,
      wallClock: Date.now,
      reasonOf: publicReasonOf,
    });
    this.#tunnels =
      options.tunnels ??
      new AgentTunnels({
        deployment: () => primary.deployment,
        coordinatePath: PROXY_COORDINATE_PATH,
        connectionInfo: async () => this.#connectionInfo(),
        lingerMs: TUNNEL_LINGER_MS,
        onDoubt: (agentId) => {
          this.#grants.forgetAgent(agentId);
          this.#rights.doubt(agentId);
        },
        onError: (error) => log.warn({ err: error }, "closing a tunnel failed"),
      });
    this.#agentHttp = new AgentHttp(this.#tunnels, log);
    this.#grants = new AppGrants({ tokens: this.#tokens, now: Date.now, clock: monotonicNow });
    // The tunnels use the proxy's own credentials.
    const dial = appDialer(this.#tunnels, "");
    this.#pools = new ProgramPools(dial);
    const questions = this.#newQuestions();
    const traffic = this.#newTraffic(questions, dial);
    const { accessUrl, pathApps, wildcard } = options;
    const deploymentUrl = (): URL => this.#deploymentUrl();
    const gate = new ProxyGate({ questions, clock: monotonicNow });
    const shared = { accessUrl: () => accessUrl, traffic };
    const hosts = wildcard && { wildcard, handler: new AppHost({ ...shared, wildcard, deploymentUrl, gate }) };
    const paths = new PathHost({
      ...shared,
      refusal: pathApps ? undefined : pathAppsDisabled("workspace proxy"),
      gate: new ProxyPathGate(questions),
    });
    this.routing = new AppRouting({ hosts, paths });
    this.#reports = new UseReports({
      uses: this.#uses,
      tell: (stats, isLast) => primary.reportUses(stats, isLast),
      now: Date.now,
      onError: (error) => this.#reportFailed(error),
    });
    this.#terminals = new ProxyTerminals({
      ...options,
      onUse: (app) => this.#used(app),
      tokens: this.#tokens,
      rights: this.#rights,
      tunnels: this.#tunnels,
      agentHttp: this.#agentHttp,
      limits: options.terminalLimits,
      origins: () => this.#dashboardOrigins(),
      now: Date.now,
    });
  }

  get upgradeRoutes(): readonly UpgradeRoute[] {
    return [this.#terminals.route];
  }

  /** Number of open terminals, requests and WebSockets of apps. */
  get openCount(): number {
    return this.#rights.size;
  }

  /** How often the primary granted a right, refused it, or did not answer. */
  get counts(): AppTokens["counts"] {
    return this.#tokens.counts;
  }

  /** Requests whose use was reported, and that were dropped. */
  get useCounts(): AppUses["counts"] {
    return this.#uses.counts;
  }

  /** Why requesting new keys for tokens failed; undefined if it did not. */
  get keysProblem(): string | undefined {
    return this.#tokens.keys.problem;
  }

  identified(info: PrimaryInfo): void {
    this.#primaryInfo = info;
  }

  registered(registration: RegisterProxyResponse): void {
    this.#registration = registration;
    void this.#tokens.keys.freshen();
  }

  /** The primary no longer accepts this proxy's token, so it vouches for nothing that the proxy serves. */
  tokenRefused(): void {
    this.#tokens.keys.forget();
    this.#grants.forgetAll();
    this.#rights.endAll("the deployment does not accept this proxy any more");
  }

  async close(): Promise<void> {
    this.#rights.endAll("the proxy stops");
    this.#pools.close();
    await Promise.all([this.#tunnels.close(), this.#reports.close()]);
  }

  #newQuestions(): AppQuestions {
    const { accessUrl, clientAddress, primary } = this.#options;
    return new AppQuestions({
      primary,
      grants: this.#grants,
      deploymentUrl: () => this.#deploymentUrl(),
      accessUrl,
      reasonOf: publicReasonOf,
      clock: monotonicNow,
      now: Date.now,
      places: new Places("questions about apps", APP_QUESTIONS),
      clientAddress,
    });
  }

  #newTraffic(questions: AppQuestions, dial: ReturnType<typeof appDialer>): AppTraffic {
    const { accessUrl, clientAddress, log, streams } = this.#options;
    return new AppTraffic({
      accessUrl: () => this.#deploymentUrl(),
      scheme: accessUrl.protocol === "https:" ? "https" : "http",
      exchanges: {
        add: ({ decision, endsAt, end }) => {
          const leave = streams.add({ end, destroy: end });
          const { agentId } = decision.target;
          const { ageMs, decidedAfter, question } = questions.originOf(decision);
          const over = this.#rights.add({
            agentId,
            endsAt,
            askAfterMs: ASK_EVERY_MS - ageMs,
            decidedAfter,
            question: grantKey(question),
            ask: () => questions.askAgain(decision),
            end,
          });
          const unused = this.#useOf(decision, question.app_request);
          return () => {
            over();
            leave();
            unused();
          };
        },
      },
      pools: this.#pools,
      dial,
      listeningPorts: async (agentId) => {
        const { ports } = await this.#agentHttp.listeningPorts({ agentId, keyId: APP_TUNNEL_KEY, token: "" });
        return ports.map(({ port }) => port);
      },
      requests: new Places("requests to apps", APP_REQUESTS),
      webSockets: new Places("WebSockets to apps", APP_WEB_SOCKETS),
      clientAddress,
      log,
    });
  }

  /** Records a request or WebSocket of a signed-in visitor. Returns a function to call when it is over. */
  #useOf(
    { target, visitor }: AppDecision,
    { access_method: method, app_slug_or_port }: IssueAppTokenRequest["app_request"],
  ): () => void {
    if (visitor === undefined) return () => undefined;
    const { agentId, workspaceId } = target;
    return this.#used({ userId: visitor.userId, workspaceId, agentId, method, slugOrPort: app_slug_or_port ?? "" });
  }

  #used(app: UsedApp): () => void {
    const over = this.#uses.begin(app, Date.now());
    return () => over(Date.now());
  }

  #reportFailed(error: unknown): void {
    if (isTokenRefused(error)) this.#options.onTokenRefused();
    this.#options.log.debug(
      { why: reasonOf(error) },
      "uses of apps were not reported to the primary; it is tried again",
    );
  }

  /** The URL at which browsers use the deployment. */
  #deploymentUrl(): URL {
    const shown = this.#primaryInfo?.dashboard_url ?? "";
    return URL.canParse(shown) ? new URL(shown) : this.#options.primaryUrl;
  }

  #connectionInfo(): object {
    const registration = this.#registration;
    if (registration === undefined) throw new Error("the proxy is not registered with the deployment yet");
    const { derp_map, derp_force_websockets, disable_direct_connections } = registration;
    return { derp_map, derp_force_websockets, disable_direct_connections };
  }

  /** If apps below paths are served, their pages have the proxy's own origin, which must then not count as a dashboard's. */
  #dashboardOrigins(): ReadonlySet<string> {
    const { primaryUrl, accessUrl, pathApps } = this.#options;
    const shown = this.#primaryInfo?.dashboard_url ?? "";
    const origins = [primaryUrl.origin, ...(URL.canParse(shown) ? [new URL(shown).origin] : [])];
    return new Set(pathApps ? origins : [...origins, accessUrl.origin]);
  }
}
