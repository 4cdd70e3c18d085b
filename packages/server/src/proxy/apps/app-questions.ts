/**
 * What the hosts of apps at this proxy ask the primary about a visitor, and what follows from its answers: an admission, a
 * redirect to the sign-in, or the primary's own answer. Shared by hosts below the wildcard and apps below paths.
 */
import type { IncomingMessage } from "node:http";
import type { AppGrantTarget, AppRequest, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import type { Admission } from "../../apps/app-traffic.ts";
import { chainId } from "../../apps/chains.ts";
import { cookieCounts, isNavigation, type Relation, type RequestFacts } from "../../apps/cross-origin.ts";
import { AppDecision, type AppTarget, sameProgram } from "../../apps/decision.ts";
import { firstPage } from "../../apps/first-page.ts";
import { headerToken } from "../../apps/header-token.ts";
import { appCookies, queryValue, TICKET_PARAMETER, withoutOwnParameters } from "../../apps/names.ts";
import { notRunning } from "../../apps/not-running.ts";
import type { AppAnswer } from "../../apps/pages.ts";
import type { ShownApp } from "../../apps/shown-app.ts";
import { badTicket, beginSignIn, seeOther, sessionCookies } from "../../apps/sign-in-answers.ts";
import { cookieValue } from "../../auth/cookies.ts";
import type { AppTokenClaims } from "../../base/app-token.ts";
import type { Places } from "../../base/places.ts";
import type { PassedAnswer, Primary } from "../primary.ts";
import type { AppGrants } from "./app-grants.ts";
import type { IssuedRight } from "./app-tokens.ts";
import type { RightAnswer } from "./open-rights.ts";

/** The form in which the primary issues session values. */
const SESSION = /^[\w-]{43}$/;
const MAX_CREDENTIAL = 256;
const ENDED = { holds: false, reason: "access ended" } as const;

export interface AppQuestionsOptions {
  readonly grants: AppGrants;
  readonly primary: Pick<Primary, "redeemTicket">;
  /** The URL of the deployment's dashboard. */
  readonly deploymentUrl: () => URL;
  readonly accessUrl: URL;
  readonly reasonOf: (error: unknown) => string;
  readonly clock: () => Instant;
  /** The time of day in milliseconds. */
  readonly now: () => number;
  /** Limits questions to the primary that requests cause. Questions about what is already open need no place. */
  readonly places: Places;
  readonly clientAddress: (request: IncomingMessage) => string;
}

/** A request at a host of the proxy, and the app that its address names. */
export interface Visit {
  readonly request: IncomingMessage;
  readonly facts: RequestFacts;
  /** In lower case, without a port. */
  readonly hostname: string;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  readonly named: AppRequest;
}

export interface Admittance {
  /** Decides whether the visitor's session is honoured. */
  readonly relation: Relation;
  /** Decides how the program's answer is changed. */
  readonly answerRelation: Relation;
  /** Precedes the app's own paths; "" on an app's own host. */
  readonly prefix: string;
  /** The request target after the prefix. */
  readonly rest: string;
  readonly onMainHost: boolean;
  /** The answer to a request that is not a navigation and needs a sign-in. */
  readonly loginNeeded: () => AppAnswer;
  /** Makes an answer of the proxy or the primary readable for the requesting page. */
  readonly readable: (answer: AppAnswer) => AppAnswer;
  readonly onApp?: (app: ShownApp) => void;
}

/** How a decision was made, so that it can be requested again. */
export interface DecisionOrigin {
  readonly question: IssueAppTokenRequest;
  /** By the time of day. */
  readonly decidedAt: number;
  /** By the proxy's own clock: the primary was asked no earlier, or what it said before was not in doubt by then. */
  readonly decidedAfter: Instant;
}

export class AppQuestions {
  readonly #options: AppQuestionsOptions;
  readonly #origins = new WeakMap<AppDecision, DecisionOrigin>();

  constructor(options: AppQuestionsOptions) {
    this.#options = options;
  }

  /** The app as the visitor's session, or a stranger, may use it; undefined if unknown. */
  async targetFor(visit: Visit, as: "visitor" | "stranger"): Promise<AppTarget | undefined> {
    const credential = as === "visitor" ? this.#session(visit) : "";
    const right = await this.#right(visit.request, this.#question(visit, credential), "application/json");
    return "claims" in right ? targetOf(right.claims) : undefined;
  }

  /** Exchanges the ticket in a request for a session. Undefined if the request has no ticket. */
  async redeem({ request, facts, hostname, origin }: Visit): Promise<AppAnswer | undefined> {
    const { primary, reasonOf } = this.#options;
    const target = request.url ?? "/";
    const ticket = queryValue(target, TICKET_PARAMETER);
    if (ticket === undefined) return undefined;
    const clean = withoutOwnParameters(target);
    const nonce = cookieValue(facts.headers.cookie, appCookies(this.#isSecure).state);
    if (nonce === undefined || Math.max(nonce.length, ticket.length) > MAX_CREDENTIAL) return badTicket(origin, clean);
    const done = this.#place(request);
    if (done === undefined) return busy();
    try {
      const session = await primary.redeemTicket({ ticket, host: hostname, nonce, target: clean });
      if (session === undefined) return badTicket(origin, clean);
      // A chain that the primary does not continue is over.
      const next = session.next ?? `${origin}${chainId(clean) === undefined ? clean : "/"}`;
      return seeOther(next, sessionCookies(session.session_id, session.max_age_seconds, origin));
    } catch (error) {
      return unreached(reasonOf(error));
    } finally {
      done();
    }
  }

  async admit(visit: Visit, admittance: Admittance): Promise<Admission | AppAnswer> {
    const { facts, origin, request } = visit;
    const { loginNeeded, readable, relation } = admittance;
    const byHeader = headerToken(facts.headers);
    const credential = byHeader ?? (cookieCounts(facts, relation) ? this.#session(visit) : "");
    const question = this.#question(visit, credential);
    const decidedAfter = this.#options.clock();
    const right = await this.#right(request, question, facts.headers.accept ?? "application/json");
    if ("status" in right) return readable(right);
    if ("unknown" in right) return readable(unreached(right.unknown));
    if ("refused" in right) {
      if (right.refused.status !== 401) return readable(passedOn(right.refused));
      if (byHeader !== undefined || !isNavigation(facts)) return loginNeeded();
      return this.beginSignIn(origin, request.url ?? "/");
    }
    return this.#admitted(visit, admittance, { question, decidedAfter }, right.claims);
  }

  /** Redirects a navigation to the deployment. */
  beginSignIn(origin: string, target: string): AppAnswer {
    return beginSignIn(this.#options.deploymentUrl(), origin, target);
  }

  /** Whether a decision still holds, and until when. Never rejects. */
  async askAgain(decision: AppDecision): Promise<RightAnswer> {
    const origin = this.#origins.get(decision);
    if (origin === undefined) return ENDED;
    const right = await this.#options.grants.ask(origin.question);
    if ("unknown" in right) return "unknown";
    if ("refused" in right) return ENDED;
    const target = targetOf(right.claims);
    const { state, ends_at: endsAt } = right.claims.grant;
    if (target === undefined || state === "stopped" || !sameProgram(target, decision.target)) return ENDED;
    return { holds: true, endsAt };
  }

  /** What the primary was asked for a decision of {@link admit}, and how long ago. */
  originOf(decision: AppDecision): Omit<DecisionOrigin, "decidedAt"> & { readonly ageMs: number } {
    const origin = this.#origins.get(decision);
    if (origin === undefined) throw new TypeError("the decision is not one of this proxy");
    const { decidedAfter, decidedAt, question } = origin;
    return { ageMs: this.#options.now() - decidedAt, decidedAfter, question };
  }

  /** The known right, or the primary's answer; a refusal if there are too many questions to ask it. */
  async #right(
    request: IncomingMessage,
    question: IssueAppTokenRequest,
    accept: string,
  ): Promise<IssuedRight | AppAnswer> {
    const { grants } = this.#options;
    const known = await grants.known(question, accept);
    if (known !== undefined) return known;
    const done = this.#place(request);
    if (done === undefined) return busy();
    try {
      return await grants.ask(question, accept);
    } finally {
      done();
    }
  }

  /** A place for a question; undefined if there are too many. */
  #place(request: IncomingMessage): (() => void) | undefined {
    const { clientAddress, places } = this.#options;
    try {
      return places.take({ address: clientAddress(request) });
    } catch {
      return undefined; // the visitor gets 503
    }
  }

  #admitted(
    { origin, request }: Visit,
    { answerRelation, loginNeeded, onApp, onMainHost, prefix, readable, rest }: Admittance,
    asked: Omit<DecisionOrigin, "decidedAt">,
    claims: AppTokenClaims,
  ): Admission | AppAnswer {
    const { deploymentUrl, now } = this.#options;
    const app = appOf(claims);
    const decision = app && AppDecision.make(app.target, visitorOf(claims), { maxLevel: "public", now: now() });
    // The primary has decided, but a share that has expired since is no longer valid for the visitor.
    if (app === undefined || !(decision instanceof AppDecision)) return loginNeeded();
    onApp?.(app);
    if (app.state !== "running") return readable(notRunning(app, decision.visitor, deploymentUrl()));
    const first = firstPage(app.target, prefix, request);
    if (first !== undefined) return first;
    this.#origins.set(decision, { ...asked, decidedAt: claims.iat * 1_000 });
    return {
      decision,
      app,
      relation: answerRelation,
      identity: claims.grant.visitor,
      origin,
      onMainHost,
      target: `${app.target.basePath}${rest}`,
      endsAt: claims.grant.ends_at,
      stillHolds: async () => (await this.askAgain(decision)) !== ENDED,
    };
  }

  /** The value of the host's session cookie; "" if there is none or it is malformed. */
  #session({ facts }: Visit): string {
    const session = cookieValue(facts.headers.cookie, appCookies(this.#isSecure).session) ?? "";
    return SESSION.test(session) ? session : "";
  }

  #question({ hostname, named, request }: Visit, credential: string): IssueAppTokenRequest {
    const target = request.url ?? "/";
    const query = target.indexOf("?");
    return {
      app_request: named,
      path_app_base_url: this.#options.accessUrl.origin,
      app_hostname: hostname,
      app_path: query < 0 ? target : target.slice(0, query),
      app_query: query < 0 ? "" : target.slice(query + 1),
      // The primary issues no longer ones.
      session_token: credential.length > MAX_CREDENTIAL ? "" : credential,
    };
  }

  get #isSecure(): boolean {
    return this.#options.accessUrl.protocol === "https:";
  }
}

function targetOf({ grant }: AppTokenClaims): AppTarget | undefined {
  return grant.target === undefined ? undefined : appTarget(grant.target);
}

function appTarget(target: AppGrantTarget): AppTarget {
  return {
    workspaceId: target.workspace_id,
    ownerId: target.owner_id,
    agentId: target.agent_id,
    port: target.port,
    secure: target.secure,
    basePath: target.base_path,
    query: target.query,
    level: target.level,
    shareEndsAt: target.share_ends_at,
    hostHeader: target.host_header,
    cors: target.cors,
    corsOrigins: target.cors_origins,
    also: target.also,
    identityHeaders: target.identity_headers,
  };
}

function appOf(claims: AppTokenClaims): ShownApp | undefined {
  const target = targetOf(claims);
  const { agent, owner, state, workspace } = claims.grant;
  return target && { target, state, owner, workspace, agent: { ...agent, last_connected_at: null } };
}

/** The primary knows the login; here it has no id. */
function visitorOf({ grant: { visitor } }: AppTokenClaims): AppDecision["visitor"] {
  return visitor && { userId: visitor.id, keyId: "", role: visitor.role };
}

function passedOn({ status, headers, body }: PassedAnswer): AppAnswer {
  return { status, title: "", text: "", headers, body };
}

function busy(): AppAnswer {
  return {
    status: 503,
    title: "Busy",
    text: "Too many requests wait for the deployment's answer. Try again in a moment.",
    headers: { "Retry-After": "5" },
    reloadSeconds: 5,
  };
}

function unreached(why: string): AppAnswer {
  return {
    status: 503,
    title: "Deployment Unreachable",
    text: `The deployment could not be asked whether you may use the application: ${why}. Try again in a moment.`,
    headers: { "Retry-After": "5" },
    reloadSeconds: 5,
  };
}
