/** Decides who may use which app below a path of the deployment's own host, from the login there and the server's own store. */
import type { ShareLevel } from "coder-protocol/rest/apps";
import type { Authenticator } from "../auth/authenticator.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError } from "../base/domain-error.ts";
import type { Admission } from "./app-traffic.ts";
import { cookieCounts, isNavigation } from "./cross-origin.ts";
import { AppDecision, type PathRules, sameProgram, type Visitor } from "./decision.ts";
import { firstPage } from "./first-page.ts";
import { queryValue, TICKET_PARAMETER } from "./names.ts";
import { notRunning } from "./not-running.ts";
import type { AppAnswer } from "./pages.ts";
import { type PathAsked, type PathGate, pathLoginNeeded } from "./path-gate.ts";
import type { AppResolver } from "./resolver.ts";
import { notFoundAnswer } from "./sign-in.ts";
import { loginLocation } from "./sign-in-answers.ts";
import type { Visitors } from "./visitors.ts";

export interface PathAppSettings extends PathRules {
  readonly disabled: boolean;
}

export interface StorePathGateOptions {
  readonly settings: PathRules;
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly authenticator: Authenticator;
  readonly resolver: AppResolver;
  readonly visitors: Pick<Visitors, "current">;
  /** Called after a signed-in user has used a workspace. */
  readonly onUse: (workspaceId: string) => void;
  readonly clock: WallClock;
}

export class StorePathGate implements PathGate {
  readonly #options: StorePathGateOptions;

  constructor(options: StorePathGateOptions) {
    this.#options = options;
  }

  /** The host has the login itself, so it takes no tickets. */
  async redeem({ request }: PathAsked): Promise<AppAnswer | undefined> {
    if (queryValue(request.url ?? "/", TICKET_PARAMETER) === undefined) return undefined;
    return {
      status: 400,
      title: "Sign-In Link Not Valid",
      text: "This sign-in link is for an application's own host.",
    };
  }

  async admit(asked: PathAsked): Promise<Admission | AppAnswer> {
    const { resolver } = this.#options;
    const { names, origin, prefix, relation, request, rest } = asked;
    const found = await this.#visitor(asked);
    if (found !== undefined && "status" in found) return found;
    const app = await resolver.resolvePath(names);
    const decision = this.#decide(app?.target, found?.visitor);
    if (decision === "sign-in") return loginNeeded(asked);
    if (decision === "not-found" || app === undefined) return notFoundAnswer(this.#options.accessUrl());
    if (app.state !== "running") return notRunning(app, decision.visitor, this.#options.accessUrl());
    const first = firstPage(app.target, prefix, request);
    if (first !== undefined) return first;
    if (decision.visitor !== undefined) this.#options.onUse(app.workspace.id);
    return {
      decision,
      app,
      relation,
      origin,
      onMainHost: true,
      target: `${app.target.basePath}${rest}`,
      endsAt: found?.endsAt,
      stillHolds: () => this.#stillHolds(asked, decision),
    };
  }

  /** The visitor with a valid login at the deployment; undefined without one. */
  async #visitor({
    request,
    facts,
    relation,
  }: PathAsked): Promise<{ readonly visitor: Visitor; readonly endsAt: number } | AppAnswer | undefined> {
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

  async #stillHolds({ names }: PathAsked, decision: AppDecision): Promise<boolean> {
    const { resolver, visitors } = this.#options;
    const visitor = decision.visitor === undefined ? undefined : await visitors.current(decision.visitor);
    const app = await resolver.resolvePath(names);
    if (app === undefined || app.state === "stopped" || !sameProgram(app.target, decision.target)) return false;
    return this.#decide(app.target, visitor) instanceof AppDecision;
  }
}

function loginNeeded(asked: PathAsked): AppAnswer {
  if (!isNavigation(asked.facts)) return pathLoginNeeded(asked);
  const location = loginLocation(asked.request.url ?? "/");
  return { status: 303, title: "See Other", text: "", headers: { Location: location } };
}
