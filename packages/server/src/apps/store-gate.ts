/** Decides who may use which app, from the server's own store. */
import type { IncomingMessage } from "node:http";
import type { ShareLevel } from "coder-protocol/rest/apps";
import { cookieValue } from "../auth/cookies.ts";
import type { WallClock } from "../base/clock.ts";
import type { AppChoices } from "../db/app-choices.ts";
import { loginNeeded, readable } from "./app-answers.ts";
import type { AppGate, Asked, UnderstoodRequest } from "./app-gate.ts";
import type { Admission } from "./app-traffic.ts";
import { chainId } from "./chains.ts";
import { cookieCounts, isNavigation } from "./cross-origin.ts";
import { AppDecision, sameProgram, type Visitor } from "./decision.ts";
import { firstPage } from "./first-page.ts";
import type { AppPlace } from "./label.ts";
import { appCookies } from "./names.ts";
import { notRunning } from "./not-running.ts";
import type { AppAnswer } from "./pages.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";
import { notFoundAnswer, type SignIn } from "./sign-in.ts";
import type { Visitors } from "./visitors.ts";

export interface StoreGateOptions {
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly resolver: AppResolver;
  readonly visitors: Visitors;
  readonly signIn: SignIn;
  /** Called after a signed-in user has used a workspace. */
  readonly onUse: (workspaceId: string) => void;
  readonly clock: WallClock;
}

export class StoreGate implements AppGate {
  readonly #options: StoreGateOptions;

  constructor(options: StoreGateOptions) {
    this.#options = options;
  }

  ownerOf(place: AppPlace): Promise<string | undefined> {
    return this.#options.resolver.ownerOf(place);
  }

  async choicesFor({ label }: UnderstoodRequest): Promise<AppChoices | undefined> {
    return (await this.#options.resolver.resolve(label))?.target;
  }

  async answersPreflights({ label, relation }: Asked): Promise<boolean> {
    const app = await this.#options.resolver.resolve(label);
    return (
      relation === "foreign" && app?.target.cors === "passthru" && this.#decide(app, undefined) instanceof AppDecision
    );
  }

  isOfSignIn(target: string, hostname: string): boolean {
    const id = chainId(target);
    return id !== undefined && this.#options.signIn.chainStops(id, hostname);
  }

  redeem(request: IncomingMessage, asked: Asked): Promise<AppAnswer | undefined> {
    const nonce = cookieValue(asked.facts.headers.cookie, appCookies(this.#isSecure).state);
    return this.#options.signIn.redeem(request.url ?? "/", asked, nonce);
  }

  async admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer> {
    const { resolver, visitors } = this.#options;
    const { facts, hostname, label, origin, rule } = asked;
    const app = await resolver.resolve(label);
    const byHeader = await visitors.byHeader(facts.headers);
    if (byHeader === "invalid") return loginNeeded(asked);
    const found =
      byHeader ??
      (cookieCounts(facts, rule.relation)
        ? await visitors.byCookie(facts.headers.cookie, appCookies(this.#isSecure).session, hostname)
        : undefined);
    const decision = this.#decide(app, found?.visitor);
    const chain = chainId(request.url ?? "/");
    if (chain !== undefined && found !== undefined)
      return (
        this.#options.signIn.followChain(chain, hostname, found.visitor) ?? {
          status: 404,
          title: "Not found",
          text: "",
        }
      );
    if (decision === "sign-in" || chain !== undefined) {
      if (isNavigation(facts)) return this.#options.signIn.begin(origin, request.url ?? "/");
      return loginNeeded(asked);
    }
    if (decision === "not-found" || app === undefined)
      return readable(asked, notFoundAnswer(this.#options.accessUrl()));
    if (app.state !== "running") return readable(asked, notRunning(app, decision.visitor, this.#options.accessUrl()));
    const first = firstPage(app.target, "", request);
    if (first !== undefined) return first;
    if (decision.visitor !== undefined) this.#options.onUse(app.workspace.id);
    const ends = [found?.endsAt, app.target.shareEndsAt].filter((at) => at !== undefined);
    return {
      decision,
      app,
      relation: rule.answerRelation,
      identity: found?.identity,
      origin,
      onMainHost: false,
      target: `${app.target.basePath}${request.url ?? "/"}`,
      endsAt: ends.length === 0 ? undefined : Math.min(...ends),
      stillHolds: () => this.#stillHolds(asked, decision),
    };
  }

  #decide(app: ResolvedApp | undefined, visitor: Visitor | undefined): AppDecision | "sign-in" | "not-found" {
    const { clock, maxLevel } = this.#options;
    return AppDecision.make(app?.target, visitor, { maxLevel, now: clock.now() });
  }

  async #stillHolds(asked: Asked, decision: AppDecision): Promise<boolean> {
    const { resolver, visitors } = this.#options;
    const visitor = decision.visitor === undefined ? undefined : await visitors.current(decision.visitor);
    const app = await resolver.resolve(asked.label);
    if (app === undefined || app.state === "stopped" || !sameProgram(app.target, decision.target)) return false;
    return this.#decide(app, visitor) instanceof AppDecision;
  }

  get #isSecure(): boolean {
    return this.#options.accessUrl().protocol === "https:";
  }
}
