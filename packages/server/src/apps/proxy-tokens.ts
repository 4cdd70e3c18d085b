/** Decides what a workspace proxy may serve to a visitor, and signs the app tokens that say so. */
import { randomBytes } from "node:crypto";
import { isUuid } from "coder-protocol/addresses";
import type { issueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { z } from "zod";
import { parseUserToken } from "../auth/tokens.ts";
import { type AppTokenFacts, proxyAudience, signAppToken } from "../base/app-token.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { LOGIN_HEADER } from "./names.ts";
import { type OwnPlaceOptions, ownPlaceAnswer } from "./own-place.ts";
import type { AppAnswer } from "./pages.ts";
import { pathAppsDisabled } from "./path-host.ts";
import { parseAppPath } from "./path-names.ts";
import { type ProxiedApp, type ProxiedApps, type ProxiedPlace, placeOf } from "./proxied-apps.ts";
import type { ProxyGrants } from "./proxy-grants.ts";
import type { ProxyKeys } from "./proxy-keys.ts";
import { appFacts, terminalFacts } from "./proxy-token-facts.ts";
import type { AppResolver } from "./resolver.ts";
import { notFoundAnswer } from "./sign-in.ts";
import type { PathAppSettings } from "./store-path-gate.ts";
import type { TerminalRights } from "./terminal-rights.ts";
import { type FoundVisitor, placeAt, type Visitors } from "./visitors.ts";

const HANDLE_BYTES = 32;

export type AppTokenQuestion = z.output<typeof issueAppTokenRequest>;

export interface ProxyTokensOptions extends OwnPlaceOptions {
  readonly deploymentId: string;
  readonly keys: ProxyKeys;
  readonly grants: Pick<ProxyGrants, "put" | "byHandle">;
  readonly terminals: TerminalRights;
  readonly apps: ProxiedApps;
  readonly pathApps: Pick<PathAppSettings, "disabled">;
  /** Called after a signed-in user has used a workspace. */
  readonly onUse: (workspaceId: string) => void;
  readonly resolver: Pick<AppResolver, "state">;
  readonly visitors: Pick<Visitors, "byToken" | "bySession">;
  readonly clock: WallClock;
}

export class ProxyTokens {
  readonly #options: ProxyTokensOptions;

  constructor(options: ProxyTokensOptions) {
    this.#options = options;
  }

  /**
   * Answers a proxy that asks on behalf of a visitor: with a token, or with what to send the visitor instead. Throws DomainError.
   */
  async issue(proxy: WorkspaceProxyRow, question: AppTokenQuestion): Promise<{ readonly token: string } | AppAnswer> {
    const { access_method: method, agent_name_or_id: agentId } = question.app_request;
    if (method !== "terminal") return await this.#app(proxy, question);
    return { token: await this.#visitorsTerminal(proxy, agentId.toLowerCase(), question.session_token) };
  }

  /**
   * Issues a token for the terminals of an agent, given a login or API token. Throws DomainError.
   * @param handle Renews the token; valid for this proxy only.
   */
  async terminal(
    proxy: WorkspaceProxyRow,
    keyId: string,
    agentId: string,
    handle = randomBytes(HANDLE_BYTES).toString("base64url"),
  ): Promise<string> {
    const { grants, resolver, terminals } = this.#options;
    const right = await terminals.decide(keyId, agentId);
    if (right instanceof DomainError) throw right;
    const { agent, owner, user, workspace } = right;
    await grants.put({
      proxyId: proxy.id,
      workspace_id: workspace.id,
      owner_id: owner.id,
      agent_id: agent.id,
      visitor: { keyId, userId: user.id },
      app: { method: "terminal" },
      handle,
    });
    return this.#sign(proxy, terminalFacts(right, handle, await resolver.state(workspace, agent)));
  }

  /** Issues a terminal token, given a token of the visitor or the handle of an open terminal. */
  async #visitorsTerminal(proxy: WorkspaceProxyRow, agentId: string, credential: string): Promise<string> {
    if (!isUuid(agentId)) throw new DomainError("invalid", "agent_name_or_id has to be the id of an agent");
    if (parseUserToken(credential) !== undefined) {
      const found = await this.#options.visitors.byToken(credential);
      if (found === undefined) throw unauthenticated();
      return await this.terminal(proxy, found.visitor.keyId, agentId);
    }
    const row = await this.#options.grants.byHandle(proxy.id, credential);
    if (row === undefined || row.agent_id !== agentId) throw unauthenticated();
    return await this.terminal(proxy, row.key_id, agentId, credential);
  }

  async #app(proxy: WorkspaceProxyRow, question: AppTokenQuestion): Promise<{ readonly token: string } | AppAnswer> {
    const { accessUrl, apps, grants, onUse, pathApps, terminals } = this.#options;
    const host = question.app_hostname.toLowerCase();
    const place = placeOf(proxy, host, pathOf(question));
    if ("error" in place || place.app.method !== question.app_request.access_method)
      return {
        status: 400,
        title: "Invalid Application URL",
        text: `The address is not that of an application: ${"error" in place ? place.error : "its host is of another kind"}.`,
      };
    if (place.app.method === "path" && pathApps.disabled) return pathAppsDisabled("deployment");
    const visitor = await this.#visitor(proxy, host, question.session_token);
    if (visitor === "invalid") return loginNeeded(place, question);
    const decided = await apps.decide(place.app, visitor?.visitor);
    if (decided === "sign-in") return loginNeeded(place, question);
    if (decided === "not-found") return notFoundAnswer(accessUrl());
    const { agent, owner, workspace } = decided.found;
    const holder = decided.decision.visitor;
    // A tunnel leads to every port of the agent and so to a shell. Visitors who may not have one are served elsewhere.
    if (holder === undefined || !(await terminals.holds(holder.keyId, agent.id)))
      return ownPlaceAnswer(place.app, targetOf(place.app, question), this.#options);
    await grants.put({
      proxyId: proxy.id,
      workspace_id: workspace.id,
      owner_id: owner.id,
      agent_id: agent.id,
      visitor: holder,
      app: place.app,
    });
    onUse(workspace.id);
    return { token: this.#sign(proxy, appFacts(place.app, decided.found, visitor, question.app_request.base_path)) };
  }

  /** An invalid token is refused; an invalid session counts as absent, like an expired cookie. */
  async #visitor(
    proxy: WorkspaceProxyRow,
    host: string,
    credential: string,
  ): Promise<FoundVisitor | "invalid" | undefined> {
    const { visitors } = this.#options;
    if (credential === "") return undefined;
    if (parseUserToken(credential) !== undefined) return (await visitors.byToken(credential)) ?? "invalid";
    return await visitors.bySession(credential, placeAt(proxy, host));
  }

  #sign(proxy: WorkspaceProxyRow, facts: AppTokenFacts): string {
    const { clock, deploymentId, keys } = this.#options;
    const now = clock.now();
    const parties = { issuer: deploymentId, audience: proxyAudience(proxy.id), now };
    return signAppToken(facts, keys.signing(proxy, now), parties);
  }
}

/** The request target of an app below a path, built from the app's names. */
function pathOf({ app_request: asked }: AppTokenQuestion): string {
  const agent = asked.agent_name_or_id === "" ? "" : `.${asked.agent_name_or_id}`;
  return `/@${asked.username_or_id}/${asked.workspace_name_or_id}${agent}/apps/${asked.app_slug_or_port}/`;
}

/** The target that the browser requested, provided that it belongs to this app. */
function targetOf(app: ProxiedApp, question: AppTokenQuestion): string {
  const { app_path: path, app_query: query } = question;
  const target = query === "" ? path : `${path}?${query}`;
  const isTarget = /^\/[\x21-\x7e]*$/.test(target) && !target.includes("#");
  if (app.method === "subdomain") return isTarget ? target : "/";
  const asked = isTarget ? parseAppPath(target) : undefined;
  const isSame =
    asked?.kind === "app" &&
    asked.names.owner === app.owner &&
    asked.names.workspace === app.workspace &&
    (asked.names.agent ?? "") === app.agent &&
    asked.names.slug === app.slug;
  return isSame ? target : pathOf(question);
}

/** The answer to a request that is not a navigation; the proxy itself redirects navigations to the sign-in. */
function loginNeeded({ app, origin }: ProxiedPlace, question: AppTokenQuestion): AppAnswer {
  const url = app.method === "path" ? `${origin}${pathOf(question)}` : `${origin}/`;
  return {
    status: 401,
    title: "Sign in to this app first",
    text: `Open ${url} in the browser`,
    headers: { [LOGIN_HEADER]: url },
    fields: { url },
  };
}

function unauthenticated(): DomainError {
  return new DomainError("unauthenticated", "The session to which the terminal belongs is no longer valid");
}
