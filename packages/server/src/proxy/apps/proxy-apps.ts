/** What browsers open at a proxy besides its relay: joins rights, tunnels and terminals, and owns what outlives a request. */
import type { IncomingMessage } from "node:http";
import type { Deployment } from "coder-client/rest/deployment";
import { PROXY_COORDINATE_PATH } from "coder-protocol/rest/proxy-apps";
import type { RegisterProxyResponse } from "coder-protocol/rest/workspace-proxies";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type { Logger } from "../../base/log.ts";
import type { OpenStreams } from "../../base/open-streams.ts";
import type { PlaceLimits } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { AgentHttp } from "../../tunnels/agent-http.ts";
import { AgentTunnels } from "../../tunnels/agent-tunnels.ts";
import { type Primary, type PrimaryInfo, publicReasonOf } from "../primary.ts";
import { AppTokens } from "./app-tokens.ts";
import { OpenRights } from "./open-rights.ts";
import { ProxyTerminals } from "./terminals.ts";

const TUNNEL_LINGER_MS = 120_000;

export interface ProxyAppsOptions {
  readonly primary: Pick<Primary, "cryptoKeys" | "issueAppToken"> & { readonly deployment: Deployment };
  readonly primaryUrl: URL;
  readonly accessUrl: URL;
  readonly proxyId: () => string;
  readonly terminalLimits: PlaceLimits;
  readonly streams: OpenStreams;
  readonly clientAddress: (request: IncomingMessage) => string;
  /** In the place of real tunnels. */
  readonly tunnels?: Pick<AgentTunnels, "acquire" | "close"> | undefined;
  readonly log: Logger;
}

export class ProxyApps {
  readonly #options: ProxyAppsOptions;
  readonly #tokens: AppTokens;
  readonly #rights: OpenRights;
  readonly #tunnels: Pick<AgentTunnels, "acquire" | "close">;
  readonly #terminals: ProxyTerminals;
  #primaryInfo: PrimaryInfo | undefined;
  #registration: RegisterProxyResponse | undefined;

  constructor(options: ProxyAppsOptions) {
    const { primary, proxyId, log } = options;
    this.#options = options;
    this.#rights = new OpenRights(Date.now);
    this.#tokens = new AppTokens({
      primary,
      proxyId,
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
        onDoubt: (agentId) => this.#rights.doubt(agentId),
        onError: (error) => log.warn({ err: error }, "closing a tunnel failed"),
      });
    this.#terminals = new ProxyTerminals({
      ...options,
      tokens: this.#tokens,
      rights: this.#rights,
      tunnels: this.#tunnels,
      agentHttp: new AgentHttp(this.#tunnels, log),
      limits: options.terminalLimits,
      origins: () => this.#dashboardOrigins(),
    });
  }

  get upgradeRoutes(): readonly UpgradeRoute[] {
    return [this.#terminals.route];
  }

  /** Terminals, requests and WebSockets of apps that are open. */
  get openCount(): number {
    return this.#rights.size;
  }

  /** How often the primary granted a right, refused it, and did not answer. */
  get counts(): AppTokens["counts"] {
    return this.#tokens.counts;
  }

  /** Why there are no new keys of tokens, if they were asked for and there are none. */
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

  /** The primary does not take this proxy's token any more: it vouches for nothing that the proxy serves. */
  tokenRefused(): void {
    this.#tokens.keys.forget();
    this.#rights.endAll("the deployment does not accept this proxy any more");
  }

  async close(): Promise<void> {
    this.#rights.endAll("the proxy stops");
    await this.#tunnels.close();
  }

  #connectionInfo(): object {
    const registration = this.#registration;
    if (registration === undefined) throw new Error("the proxy is not registered with the deployment yet");
    return { derp_map: registration.derp_map, derp_force_websockets: registration.derp_force_websockets };
  }

  #dashboardOrigins(): ReadonlySet<string> {
    const { primaryUrl, accessUrl } = this.#options;
    const shown = this.#primaryInfo?.dashboard_url ?? "";
    return new Set([primaryUrl.origin, accessUrl.origin, ...(URL.canParse(shown) ? [new URL(shown).origin] : [])]);
  }
}
