/** The apps and terminals that workspace proxies serve: joins the parts. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { Registry } from "prom-client";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { Wildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import { AppChains } from "./chains.ts";
import { ProxiedApps } from "./proxied-apps.ts";
import { ProxyGrants } from "./proxy-grants.ts";
import { ProxyKeys } from "./proxy-keys.ts";
import { ProxySignIn } from "./proxy-sign-in.ts";
import { ProxyTokens } from "./proxy-tokens.ts";
import { ProxyUses } from "./proxy-uses.ts";
import type { AppResolver } from "./resolver.ts";
import { SealedTickets } from "./sealed-tickets.ts";
import type { PathAppSettings } from "./store-path-gate.ts";
import { TerminalRights } from "./terminal-rights.ts";
import type { Visitors } from "./visitors.ts";

export interface ProxyAppsOptions {
  readonly store: Store;
  readonly deploymentId: string;
  readonly signingKey: Uint8Array;
  readonly authenticator: Pick<Authenticator, "canReachAgent">;
  readonly policies: Pick<ConnectionPolicies, "terminalRefusal">;
  /** The proxies to which browsers may be sent. */
  readonly proxies: () => readonly WorkspaceProxyRow[];
  /** The deployment's own wildcard. */
  readonly wildcard: Wildcard | undefined;
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly pathApps: PathAppSettings;
  readonly resolver: AppResolver;
  readonly visitors: Visitors;
  /** Called after a signed-in user has used a workspace. */
  readonly onUse: (workspaceId: string) => void;
  readonly clock: WallClock;
  readonly log: Logger;
  readonly metrics: Registry;
}

export class ProxyApps {
  readonly keys: ProxyKeys;
  readonly grants: ProxyGrants;
  readonly tokens: ProxyTokens;
  readonly signIn: ProxySignIn;
  readonly uses: ProxyUses;
  readonly #apps: ProxiedApps;
  readonly #terminals: TerminalRights;

  constructor(options: ProxyAppsOptions) {
    const { clock, log, signingKey, store } = options;
    this.keys = new ProxyKeys(signingKey);
    this.#apps = new ProxiedApps(options);
    this.#terminals = new TerminalRights(options);
    this.grants = new ProxyGrants({
      store,
      mayReach: (keyId, agentId) => this.#terminals.holds(keyId, agentId),
      holds: (row, app) => this.#apps.holds(row, app),
      clock,
      onError: (error) => log.error({ err: error }, "old grants of workspace proxies were not removed"),
    });
    const shared = { ...options, apps: this.#apps };
    this.tokens = new ProxyTokens({ ...shared, keys: this.keys, grants: this.grants, terminals: this.#terminals });
    this.uses = new ProxyUses({ ...options, grants: this.grants });
    const [tickets, chains] = [new SealedTickets(signingKey), new AppChains(signingKey)];
    this.signIn = new ProxySignIn({ ...shared, terminals: this.#terminals, tickets, chains });
  }

  close(): void {
    this.grants.close();
  }
}
