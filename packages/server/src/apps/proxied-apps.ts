/** Web apps at the hosts of workspace proxies: which app an address names, and who may use it. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { WallClock } from "../base/clock.ts";
import { parseWildcard, wildcardLabel, wildcardOrigin } from "../base/wildcard.ts";
import type { ProxyAppGrantRow, WorkspaceProxyRow } from "../db/schema.ts";
import { AppDecision, type Visitor } from "./decision.ts";
import { parseAppLabel } from "./label.ts";
import { parseAppPath } from "./path-names.ts";
import type { ProxyApp } from "./proxy-app.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";
import type { PathAppSettings } from "./store-path-gate.ts";
import type { Visitors } from "./visitors.ts";

export type ProxiedApp = Exclude<ProxyApp, { method: "terminal" }>;

export interface ProxiedAppsOptions {
  readonly resolver: AppResolver;
  readonly visitors: Pick<Visitors, "current">;
  readonly maxLevel: ShareLevel;
  readonly pathApps: PathAppSettings;
  readonly clock: WallClock;
}

/** An address at a proxy. */
export interface ProxiedPlace {
  readonly app: ProxiedApp;
  /** Scheme, host and port. */
  readonly origin: string;
}

export class ProxiedApps {
  readonly #options: ProxiedAppsOptions;

  constructor(options: ProxiedAppsOptions) {
    this.#options = options;
  }

  async decide(
    app: ProxiedApp,
    visitor: Visitor | undefined,
  ): Promise<{ readonly found: ResolvedApp; readonly decision: AppDecision } | "sign-in" | "not-found"> {
    const { clock, maxLevel, pathApps } = this.#options;
    const found = await this.#resolve(app);
    const rules = { maxLevel, now: clock.now(), path: app.method === "path" ? pathApps : undefined };
    const decision = AppDecision.make(found?.target, visitor, rules);
    if (!(decision instanceof AppDecision)) return decision;
    return found === undefined ? "not-found" : { found, decision };
  }

  /** Whether the visitor may use an app that has its own host. */
  admits({ target }: ResolvedApp, visitor: Visitor): boolean {
    const { clock, maxLevel } = this.#options;
    return AppDecision.make(target, visitor, { maxLevel, now: clock.now() }) instanceof AppDecision;
  }

  /** Whether the grant would be given now. */
  async holds({ agent_id: agentId, key_id: keyId }: ProxyAppGrantRow, app: ProxiedApp): Promise<boolean> {
    const visitor = await this.#options.visitors.current({ keyId });
    const decided = await this.decide(app, visitor);
    return typeof decided !== "string" && decided.found.agent.id === agentId && decided.found.state !== "stopped";
  }

  /** Undefined if there is no such app, or if the app is below a path and such apps are disabled. */
  async #resolve(app: ProxiedApp): Promise<ResolvedApp | undefined> {
    const { pathApps, resolver } = this.#options;
    if (app.method === "subdomain") {
      const label = parseAppLabel(app.label);
      return "error" in label ? undefined : await resolver.resolve(label);
    }
    if (pathApps.disabled) return undefined;
    const { owner, workspace, agent, slug } = app;
    return await resolver.resolvePath({ owner, workspace, agent: agent === "" ? undefined : agent, slug });
  }
}

/**
 * The app that an address at the proxy names, or why it names none.
 * @param hostname In lower case, without a port. @param target The request target as received.
 */
export function placeOf(
  proxy: WorkspaceProxyRow,
  hostname: string,
  target: string,
): ProxiedPlace | { readonly error: string } {
  const access = new URL(proxy.url);
  if (hostname === access.hostname) {
    const path = parseAppPath(target);
    if (path?.kind !== "app") return { error: "its path names no app" };
    const { owner, workspace, agent = "", slug } = path.names;
    return { app: { method: "path", owner, workspace, agent, slug }, origin: access.origin };
  }
  const wildcard = parseWildcard(proxy.wildcard_hostname);
  const label = "error" in wildcard ? undefined : wildcardLabel(wildcard, hostname);
  if ("error" in wildcard || label === undefined) return { error: "its host is not one of the proxy" };
  const parsed = parseAppLabel(label);
  if ("error" in parsed) return { error: `its host names no app: ${parsed.error}` };
  return { app: { method: "subdomain", label }, origin: wildcardOrigin(wildcard, label, access) };
}
