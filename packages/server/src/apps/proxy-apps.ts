/** Apps and terminals that workspace proxies serve: joins the parts. */
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import type { Logger } from "../base/log.ts";
import type { ProxyAppGrantRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import type { ProxyApp } from "./proxy-app.ts";
import { ProxyGrants } from "./proxy-grants.ts";
import { ProxyKeys } from "./proxy-keys.ts";
import { ProxyTokens } from "./proxy-tokens.ts";
import type { AppResolver } from "./resolver.ts";
import { TerminalRights } from "./terminal-rights.ts";
import type { Visitors } from "./visitors.ts";

export interface ProxyAppsOptions {
  readonly store: Store;
  readonly deploymentId: string;
  readonly signingKey: Uint8Array;
  readonly authenticator: Pick<Authenticator, "canReachAgent">;
  readonly policies: Pick<ConnectionPolicies, "terminalRefusal">;
  readonly resolver: AppResolver;
  readonly visitors: Visitors;
  readonly clock: WallClock;
  readonly log: Logger;
}

export class ProxyApps {
  readonly keys: ProxyKeys;
  readonly grants: ProxyGrants;
  readonly tokens: ProxyTokens;
  readonly #terminals: TerminalRights;

  constructor(options: ProxyAppsOptions) {
    const { clock, log, signingKey, store } = options;
    this.keys = new ProxyKeys(signingKey);
    this.#terminals = new TerminalRights(options);
    this.grants = new ProxyGrants({
      store,
      holds: (row, app) => this.#holds(row, app),
      clock,
      onError: (error) => log.error({ err: error }, "old grants of workspace proxies were not removed"),
    });
    this.tokens = new ProxyTokens({ ...options, keys: this.keys, grants: this.grants, terminals: this.#terminals });
  }

  close(): void {
    this.grants.close();
  }

  async #holds({ agent_id: agentId, key_id: keyId }: ProxyAppGrantRow, app: ProxyApp): Promise<boolean> {
    if (app.method !== "terminal") return false;
    return "workspace" in (await this.#terminals.decide(keyId, agentId));
  }
}
