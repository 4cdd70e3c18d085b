/** Everything that a host below the wildcard access URL serves: the program that its name stands for, and nothing of the server. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { ShareLevel } from "coder-protocol/rest/apps";
import { cookieValue } from "../auth/cookies.ts";
import type { WallClock } from "../base/clock.ts";
import { type Wildcard, wildcardLabel } from "../base/wildcard.ts";
import type { Admission, AppTraffic } from "./app-traffic.ts";
import { chainId } from "./chains.ts";
import {
  type CorsRule,
  cookieCounts,
  corsRule,
  isNavigation,
  isPreflight,
  preflightAnswer,
  type Relation,
  type RequestFacts,
  relationOf,
  siblingHeaders,
} from "./cross-origin.ts";
import { AppDecision, sameProgram, type Visitor } from "./decision.ts";
import { firstPage } from "./first-page.ts";
import { type AppLabel, parseAppLabel } from "./label.ts";
import { appCookies, LOGIN_HEADER } from "./names.ts";
import { notRunning } from "./not-running.ts";
import type { AppAnswer } from "./pages.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";
import { hasBody, refuseUpgrade, sendAnswer } from "./send-answer.ts";
import { notFoundAnswer, type SignIn } from "./sign-in.ts";
import type { Visitors } from "./visitors.ts";

const MAX_TARGET = 32 * 1024;
/** Kept for the server on every app host. */
const RESERVED = /^\/\.coder(?:[/?]|$)/;
/** Reserved label, which Coder used for a log-out of apps. */
const LOGOUT_LABEL = "coder-logout";

export interface AppHostOptions {
  readonly wildcard: Wildcard;
  readonly accessUrl: () => URL;
  readonly maxLevel: ShareLevel;
  readonly resolver: AppResolver;
  readonly visitors: Visitors;
  readonly signIn: SignIn;
  readonly traffic: AppTraffic;
  /** Called after a use of a workspace by a user who is signed in. */
  readonly onUse: (workspaceId: string) => void;
  readonly clock: WallClock;
}

/** A request that was understood, and who may be behind it. */
interface Asked {
  readonly facts: RequestFacts;
  readonly label: AppLabel;
  /** In lower case, without a port. */
  readonly hostname: string;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  readonly relation: Relation;
  readonly rule: CorsRule;
}

export class AppHost {
  readonly #options: AppHostOptions;

  constructor(options: AppHostOptions) {
    this.#options = options;
  }

  /** @param hostname Of the request, in lower case, without a port; below the wildcard. */
  async request(request: IncomingMessage, response: ServerResponse, hostname: string): Promise<void> {
    const asked = await this.#understand(request, hostname, false);
    const answer = "status" in asked ? asked : await this.#serve(request, response, asked);
    if (answer === undefined) return;
    sendAnswer(request, response, answer);
  }

  /** Owns the socket from here on. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, hostname: string): Promise<void> {
    const asked = await this.#understand(request, hostname, true);
    const answer = "status" in asked ? asked : await this.#serveUpgrade(request, socket, head, asked);
    if (answer !== undefined) refuseUpgrade(socket, answer);
  }

  async #understand(request: IncomingMessage, hostname: string, upgrade: boolean): Promise<Asked | AppAnswer> {
    const { accessUrl, wildcard } = this.#options;
    const target = request.url ?? "/";
    const text = wildcardLabel(wildcard, hostname) ?? "";
    if (text === LOGOUT_LABEL)
      return { status: 303, title: "See Other", text: "", headers: { Location: accessUrl().href } };
    if (target.length > MAX_TARGET) return plain(414, "The URL is too long");
    // CONNECT never comes this far. A trace would show a page the cookies that scripts cannot read.
    if (request.method === "TRACE") return plain(405, "The method is not allowed");
    if (!target.startsWith("/") && target !== "*") return plain(400, "Bad URL");
    const label = parseAppLabel(text);
    if ("error" in label) {
      return {
        status: label.status ?? 400,
        title: "Invalid Application URL",
        text: `The name ${JSON.stringify(text.slice(0, 63))} is not the name of an application: ${label.error}`,
      };
    }
    if (RESERVED.test(target) && (upgrade || !this.#isChain(target, hostname))) return plain(404, "Not found");
    const origin = `${accessUrl().protocol}//${(request.headers.host ?? "").toLowerCase()}`;
    const facts: RequestFacts = { method: request.method ?? "GET", upgrade, headers: request.headers };
    const relation = await this.#relation(facts, origin, label);
    const app = relation === "foreign" ? await this.#options.resolver.resolve(label) : undefined;
    const rule = corsRule(relation, facts.headers.origin, app?.target);
    return { facts, label, hostname, origin, relation, rule };
  }

  async #serve(request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<AppAnswer | undefined> {
    const { facts, relation, rule } = asked;
    if (isPreflight(facts) && relation !== "own" && !(await this.#answersPreflights(asked))) {
      const granted = rule.relation === "sibling" ? preflightAnswer(facts.headers) : undefined;
      response.writeHead(granted === undefined ? 403 : 204, {
        ...granted,
        ...(granted === undefined ? { "Content-Length": "0" } : {}),
      });
      response.end();
      return undefined;
    }
    if (facts.method === "GET" || facts.method === "HEAD") {
      const { state } = appCookies(this.#isSecure);
      const nonce = cookieValue(facts.headers.cookie, state);
      const redeemed = await this.#options.signIn.redeem(request.url ?? "/", asked, nonce);
      if (redeemed !== undefined) return redeemed;
    }
    const admitted = await this.#admit(request, asked);
    if ("status" in admitted) return admitted;
    const answer = await this.#options.traffic.request(request, response, admitted);
    return answer === undefined ? undefined : this.#readable(asked, answer);
  }

  async #serveUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    asked: Asked,
  ): Promise<AppAnswer | undefined> {
    if (hasBody(request)) return plain(400, "An upgrade has no body");
    const admitted = await this.#admit(request, asked);
    if ("status" in admitted) return admitted;
    const answer = await this.#options.traffic.upgrade(request, socket, head, admitted);
    return answer === undefined ? undefined : this.#readable(asked, answer);
  }

  /** Who asks, for what, and whether that is allowed; otherwise the answer. */
  async #admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer> {
    const { resolver, visitors } = this.#options;
    const { facts, hostname, label, origin, rule } = asked;
    const app = await resolver.resolve(label);
    const byHeader = await visitors.byHeader(facts.headers);
    if (byHeader === "invalid") return this.#loginNeeded(asked);
    const found =
      byHeader ??
      (cookieCounts(facts, rule.relation)
        ? await visitors.byCookie(facts.headers.cookie, appCookies(this.#isSecure).session, hostname)
        : undefined);
    const decision = this.#decide(app, found?.visitor);
    const chain = chainId(request.url ?? "/");
    if (chain !== undefined && found !== undefined)
      return this.#options.signIn.followChain(chain, found.visitor) ?? plain(404, "Not found");
    if (decision === "sign-in" || chain !== undefined) {
      if (isNavigation(facts)) return this.#options.signIn.begin(origin, request.url ?? "/");
      return this.#loginNeeded(asked);
    }
    if (decision === "not-found" || app === undefined)
      return this.#readable(asked, notFoundAnswer(this.#options.accessUrl()));
    if (app.state !== "running")
      return this.#readable(asked, notRunning(app, decision.visitor, this.#options.accessUrl()));
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

  #isChain(target: string, hostname: string): boolean {
    const id = chainId(target);
    return id !== undefined && this.#options.signIn.chainStops(id, hostname);
  }

  /** Whether the program itself does: it is public, and has chosen so. */
  async #answersPreflights({ label, relation }: Asked): Promise<boolean> {
    const app = await this.#options.resolver.resolve(label);
    return (
      relation === "foreign" && app?.target.cors === "passthru" && this.#decide(app, undefined) instanceof AppDecision
    );
  }

  #decide(app: ResolvedApp | undefined, visitor: Visitor | undefined): AppDecision | "sign-in" | "not-found" {
    const { clock, maxLevel } = this.#options;
    return AppDecision.make(app?.target, visitor, { maxLevel, now: clock.now() });
  }

  #loginNeeded(asked: Asked): AppAnswer {
    const url = `${asked.origin}/`;
    return this.#readable(asked, {
      status: 401,
      title: "Sign in to this app first",
      text: `Open ${url} in the browser`,
      headers: { [LOGIN_HEADER]: url },
      fields: { url },
    });
  }

  /** Lets a page whose requests may use the visitor's session read an answer of the server's own. */
  #readable({ facts, rule }: Asked, answer: AppAnswer): AppAnswer {
    if (rule.relation !== "sibling" || facts.headers.origin === undefined) return answer;
    return { ...answer, headers: { ...answer.headers, ...siblingHeaders(facts.headers.origin), Vary: "Origin" } };
  }

  async #stillHolds(asked: Asked, decision: AppDecision): Promise<boolean> {
    const { resolver, visitors } = this.#options;
    const visitor = decision.visitor === undefined ? undefined : await visitors.current(decision.visitor);
    const app = await resolver.resolve(asked.label);
    if (app === undefined || app.state === "stopped" || !sameProgram(app.target, decision.target)) return false;
    return this.#decide(app, visitor) instanceof AppDecision;
  }

  async #relation({ headers }: RequestFacts, own: string, label: AppLabel): Promise<Relation> {
    const { origin } = headers;
    if (relationOf(origin, own) === "own" || origin === undefined) return "own";
    const { accessUrl, resolver, wildcard } = this.#options;
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) return "foreign";
    const url = new URL(origin);
    const other = wildcardLabel(wildcard, url.hostname);
    if (other === undefined || url.protocol !== accessUrl().protocol) return "foreign";
    const parsed = parseAppLabel(other);
    if ("error" in parsed) return "foreign";
    const owners = await Promise.all([resolver.ownerOf(parsed.place), resolver.ownerOf(label.place)]);
    const siblings = owners[0] !== undefined && owners[0] === owners[1] ? [origin] : [];
    return relationOf(origin, own, new Set(siblings));
  }

  get #isSecure(): boolean {
    return this.#options.accessUrl().protocol === "https:";
  }
}

function plain(status: number, title: string): AppAnswer {
  return { status, title, text: "" };
}
