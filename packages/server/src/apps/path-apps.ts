/**
 * Apps below a path of the deployment's own host. Their pages have the origin of the API, and nothing that is added here makes that
 * safe: without a setting they are the owner's alone.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import type { Admission, AppTraffic } from "./app-traffic.ts";
import {
  cookieCounts,
  isNavigation,
  isPreflight,
  type Relation,
  type RequestFacts,
  relationOf,
} from "./cross-origin.ts";
import { AppDecision, type PathRules, sameProgram, type Visitor } from "./decision.ts";
import { firstPage } from "./first-page.ts";
import { LOGIN_HEADER, queryValue, TICKET_PARAMETER } from "./names.ts";
import { notRunning } from "./not-running.ts";
import type { AppAnswer } from "./pages.ts";
import { type AppPath, parseAppPath } from "./path-names.ts";
import type { AppResolver } from "./resolver.ts";
import { hasBody, refuseUpgrade, sendAnswer } from "./send-answer.ts";
import { notFoundAnswer } from "./sign-in.ts";
import type { Visitors } from "./visitors.ts";

const MAX_TARGET = 32 * 1024;

export interface PathAppSettings extends PathRules {
  readonly disabled: boolean;
}

export interface PathAppsOptions {
  readonly settings: PathAppSettings;
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly authenticator: Authenticator;
  readonly resolver: AppResolver;
  readonly visitors: Pick<Visitors, "current">;
  readonly traffic: AppTraffic;
  /** Called after a use of a workspace by a user who is signed in. */
  readonly onUse: (workspaceId: string) => void;
  readonly clock: WallClock;
}

interface Asked {
  readonly facts: RequestFacts;
  readonly path: Extract<AppPath, { kind: "app" }>;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  readonly relation: Relation;
}

export class PathApps {
  readonly #options: PathAppsOptions;

  constructor(options: PathAppsOptions) {
    this.#options = options;
  }

  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const admitted = await this.#admit(request, false);
    const answer = "status" in admitted ? admitted : await this.#options.traffic.request(request, response, admitted);
    if (answer !== undefined) sendAnswer(request, response, answer);
  }

  /** Owns the socket from here on. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const admitted = hasBody(request)
      ? { status: 400, title: "An upgrade has no body", text: "" }
      : await this.#admit(request, true);
    const answer =
      "status" in admitted ? admitted : await this.#options.traffic.upgrade(request, socket, head, admitted);
    if (answer !== undefined) refuseUpgrade(socket, answer);
  }

  /** Who asks, for what, and whether that is allowed; otherwise the answer. */
  async #admit(request: IncomingMessage, upgrade: boolean): Promise<Admission | AppAnswer> {
    const asked = this.#understand(request, upgrade);
    if ("status" in asked) return asked;
    const { resolver } = this.#options;
    const { path, relation, origin } = asked;
    const found = await this.#visitor(request, asked);
    if (found !== undefined && "status" in found) return found;
    const app = await resolver.resolvePath(path.names);
    const decision = this.#decide(app?.target, found?.visitor);
    if (decision === "sign-in") return loginNeeded(asked, request.url ?? "/");
    if (decision === "not-found" || app === undefined) return notFoundAnswer(this.#options.accessUrl());
    if (app.state !== "running") return notRunning(app, decision.visitor, this.#options.accessUrl());
    const first = firstPage(app.target, path.prefix, request);
    if (first !== undefined) return first;
    if (decision.visitor !== undefined) this.#options.onUse(app.workspace.id);
    return {
      decision,
      app,
      relation,
      origin,
      onMainHost: true,
      target: `${app.target.basePath}${path.rest}`,
      endsAt: found?.endsAt,
      stillHolds: () => this.#stillHolds(asked, decision),
    };
  }

  #understand(request: IncomingMessage, upgrade: boolean): Asked | AppAnswer {
    const { settings, accessUrl } = this.#options;
    const { headers, method = "GET", url: target = "/" } = request;
    if (settings.disabled)
      return {
        status: 403,
        title: "Forbidden",
        text: "Path-based applications are disabled on this deployment by the administrator (--disable-path-apps).",
      };
    if (target.length > MAX_TARGET) return { status: 414, title: "The URL is too long", text: "" };
    if (method === "TRACE") return { status: 405, title: "The method is not allowed", text: "" };
    const path = parseAppPath(target);
    if (path?.kind !== "app") return wrongPath(path?.kind);
    // A worker of one app would answer for the dashboard and every other app.
    if (headers["service-worker"] !== undefined)
      return { status: 403, title: "Forbidden", text: "Applications below a path have no service workers." };
    if (queryValue(target, TICKET_PARAMETER) !== undefined)
      return {
        status: 400,
        title: "Sign-In Link Not Valid",
        text: "This sign-in link is for an application's own host.",
      };
    if (path.rest === undefined)
      return {
        status: 307,
        title: "Temporary Redirect",
        text: "",
        headers: { Location: `${path.prefix}/${path.query}` },
      };
    const origin = `${accessUrl().protocol}//${(headers.host ?? "").toLowerCase()}`;
    const facts: RequestFacts = { method, upgrade, headers };
    const relation = relationOf(headers.origin, origin);
    if (isPreflight(facts) && relation !== "own")
      return { status: 403, title: "Forbidden", text: "Pages of other origins may not use this application." };
    return { facts, path, origin, relation };
  }

  /** By the login of the deployment; undefined for a visitor who has none that counts. */
  async #visitor(
    request: IncomingMessage,
    { facts, relation }: Asked,
  ): Promise<{ readonly visitor: Visitor; readonly endsAt: number } | AppAnswer | undefined> {
    const auth = await this.#options.authenticator.authenticateUser(request, { forProgram: true });
    if (auth instanceof DomainError) {
      if (auth.code !== "forbidden") return undefined;
      return { status: 403, title: "Forbidden", text: auth.message };
    }
    if (auth.source === "query") return undefined;
    if (auth.source === "cookie" && !cookieCounts(facts, relation)) return undefined;
    return { visitor: { userId: auth.user.id, keyId: auth.key.id, role: auth.user.role }, endsAt: auth.key.expires_at };
  }

  #decide(target: AppDecision["target"] | undefined, visitor: Visitor | undefined) {
    const { clock, maxLevel, settings } = this.#options;
    return AppDecision.make(target, visitor, { maxLevel, now: clock.now(), path: settings });
  }

  async #stillHolds({ path }: Asked, decision: AppDecision): Promise<boolean> {
    const { resolver, visitors } = this.#options;
    const visitor = decision.visitor === undefined ? undefined : await visitors.current(decision.visitor);
    const app = await resolver.resolvePath(path.names);
    if (app === undefined || app.state === "stopped" || !sameProgram(app.target, decision.target)) return false;
    return this.#decide(app.target, visitor) instanceof AppDecision;
  }
}

function loginNeeded({ facts, origin, path }: Asked, target: string): AppAnswer {
  if (isNavigation(facts)) {
    const location = `/login?redirect=${encodeURIComponent(target)}`;
    return { status: 303, title: "See Other", text: "", headers: { Location: location } };
  }
  const url = `${origin}${path.prefix}/`;
  return {
    status: 401,
    title: "Sign in to this app first",
    text: `Open ${url} in the browser`,
    headers: { [LOGIN_HEADER]: url },
    fields: { url },
  };
}

function wrongPath(kind: Exclude<AppPath["kind"], "app"> | undefined): AppAnswer {
  if (kind === "port")
    return {
      status: 404,
      title: "Ports need a wildcard access URL",
      text: "A port is served at a host name of its own; an administrator can set --wildcard-access-url.",
    };
  if (kind === "me")
    return {
      status: 404,
      title: "Application Not Found",
      text: "Applications must be accessed with the full username, not @me.",
    };
  return {
    status: 400,
    title: "Invalid Application URL",
    text: "The path of an application has to be /@OWNER/WORKSPACE[.AGENT]/apps/SLUG/.",
  };
}
