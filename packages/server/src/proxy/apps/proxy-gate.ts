/** Who may use which app at a host of this proxy: the primary decides, and a browser signs in there. */
import type { IncomingMessage } from "node:http";
import type { AppGrantTarget, IssueAppTokenRequest } from "coder-protocol/rest/proxy-apps";
import type { Instant } from "wg-userspace/base/instant";
import { loginNeeded, readable } from "../../apps/app-answers.ts";
import type { AppGate, Asked, UnderstoodRequest } from "../../apps/app-gate.ts";
import type { Admission } from "../../apps/app-traffic.ts";
import { cookieCounts, isNavigation } from "../../apps/cross-origin.ts";
import { AppDecision, type AppTarget, sameProgram } from "../../apps/decision.ts";
import { firstPage } from "../../apps/first-page.ts";
import { headerToken } from "../../apps/header-token.ts";
import type { AppPlace } from "../../apps/label.ts";
import { appCookies, queryValue, TICKET_PARAMETER, withoutOwnParameters } from "../../apps/names.ts";
import { notRunning } from "../../apps/not-running.ts";
import type { AppAnswer } from "../../apps/pages.ts";
import type { ShownApp } from "../../apps/shown-app.ts";
import { badTicket, beginSignIn, seeOther, sessionCookies } from "../../apps/sign-in-answers.ts";
import { cookieValue } from "../../auth/cookies.ts";
import { APP_TOKEN_LIFE_MS, type AppTokenClaims } from "../../base/app-token.ts";
import type { Places } from "../../base/places.ts";
import type { PassedAnswer, Primary } from "../primary.ts";
import { type AppGrants, grantKey } from "./app-grants.ts";
import type { IssuedRight } from "./app-tokens.ts";
import type { RightAnswer } from "./open-rights.ts";

const MAX_ALIASES = 10_000;
/** As the primary issues them. */
const SESSION = /^[\w-]{43}$/;
const MAX_CREDENTIAL = 256;
const ENDED = { holds: false, reason: "access ended" } as const;

export interface ProxyGateOptions {
  readonly grants: AppGrants;
  readonly primary: Pick<Primary, "redeemTicket">;
  /** Where the deployment's dashboard is. */
  readonly deploymentUrl: () => URL;
  readonly accessUrl: URL;
  readonly reasonOf: (error: unknown) => string;
  /** The time of day in milliseconds. */
  readonly now: () => number;
  readonly clock: () => Instant;
  /** For questions to the primary that requests cause. Those about what is open already take none. */
  readonly questions: Places;
  readonly clientAddress: (request: IncomingMessage) => string;
}

/** How a decision came about, to ask for it again. */
interface Origin {
  readonly question: IssueAppTokenRequest;
  /** By the time of day. */
  readonly decidedAt: number;
}

export class ProxyGate implements AppGate {
  readonly #options: ProxyGateOptions;
  /** The owner's name by the alias of an agent, the least recently learned first. It counts as long as a grant. */
  readonly #aliases = new Map<string, { readonly owner: string; readonly learnedAt: Instant }>();
  readonly #origins = new WeakMap<AppDecision, Origin>();

  constructor(options: ProxyGateOptions) {
    this.#options = options;
  }

  async ownerOf(place: AppPlace): Promise<string | undefined> {
    if (!("alias" in place)) return place.owner;
    const known = this.#aliases.get(place.alias);
    return known !== undefined && this.#options.clock() - known.learnedAt < APP_TOKEN_LIFE_MS ? known.owner : undefined;
  }

  async choicesFor(asked: UnderstoodRequest): Promise<AppTarget | undefined> {
    const right = await this.#right(asked, this.#question(asked, this.#session(asked)), "application/json");
    return "claims" in right ? targetOf(right.claims) : undefined;
  }

  async answersPreflights(asked: Asked): Promise<boolean> {
    if (asked.relation !== "foreign") return false;
    const right = await this.#right(asked, this.#question(asked, ""), "application/json");
    return "claims" in right && targetOf(right.claims)?.cors === "passthru";
  }

  /** A sign-in at a proxy is for one host. */
  isOfSignIn(): boolean {
    return false;
  }

  async redeem(request: IncomingMessage, asked: Asked): Promise<AppAnswer | undefined> {
    const { primary, reasonOf } = this.#options;
    const target = request.url ?? "/";
    const ticket = queryValue(target, TICKET_PARAMETER);
    if (ticket === undefined) return undefined;
    const clean = withoutOwnParameters(target);
    const nonce = cookieValue(asked.facts.headers.cookie, appCookies(this.#isSecure).state);
    if (nonce === undefined || Math.max(nonce.length, ticket.length) > MAX_CREDENTIAL) return badTicket(clean);
    const done = this.#place(asked);
    if (done === undefined) return busy();
    try {
      const session = await primary.redeemTicket({ ticket, host: asked.hostname, nonce });
      if (session === undefined) return badTicket(clean);
      return seeOther(clean, sessionCookies(session.session_id, session.max_age_seconds, asked.origin));
    } catch (error) {
      return unreached(reasonOf(error));
    } finally {
      done();
    }
  }

  async admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer> {
    const { facts, rule, origin } = asked;
    const byHeader = headerToken(facts.headers);
    const credential = byHeader ?? (cookieCounts(facts, rule.relation) ? this.#session(asked) : "");
    const question = this.#question(asked, credential, request.url);
    const right = await this.#right(asked, question, facts.headers.accept ?? "application/json");
    if ("status" in right) return readable(asked, right);
    if ("unknown" in right) return readable(asked, unreached(right.unknown));
    if ("refused" in right) {
      if (right.refused.status !== 401) return readable(asked, passedOn(right.refused));
      if (byHeader !== undefined || !isNavigation(facts)) return loginNeeded(asked);
      return beginSignIn(this.#options.deploymentUrl(), origin, request.url ?? "/");
    }
    return this.#admitted(request, asked, question, right.claims);
  }

  /** Whether what was decided holds, and until when. Never rejects. */
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

  /** How long ago the primary made a decision, and what it was asked. */
  originOf(decision: AppDecision): { readonly ageMs: number; readonly question: string } {
    const { question, decidedAt } = this.#origins.get(decision) ?? { question: { app_hostname: "" }, decidedAt: 0 };
    return { ageMs: this.#options.now() - decidedAt, question: grantKey(question) };
  }

  /** What is known of the right, or the primary's answer; that there are too many questions, where it has to be asked. */
  async #right(
    asked: UnderstoodRequest,
    question: IssueAppTokenRequest,
    accept: string,
  ): Promise<IssuedRight | AppAnswer> {
    const { grants } = this.#options;
    const known = grants.known(question, accept);
    if (known !== undefined) return await known;
    const done = this.#place(asked);
    if (done === undefined) return busy();
    try {
      return await grants.ask(question, accept);
    } finally {
      done();
    }
  }

  /** A place for a question. Undefined: there are too many. */
  #place({ request }: UnderstoodRequest): (() => void) | undefined {
    const { clientAddress, questions } = this.#options;
    try {
      return questions.take({ address: clientAddress(request) });
    } catch {
      return undefined; // the visitor gets 503
    }
  }

  #admitted(
    request: IncomingMessage,
    asked: Asked,
    question: IssueAppTokenRequest,
    claims: AppTokenClaims,
  ): Admission | AppAnswer {
    const { deploymentUrl, now } = this.#options;
    const app = appOf(claims);
    const decision = app && AppDecision.make(app.target, visitorOf(claims), { maxLevel: "public", now: now() });
    // The primary has decided; a share whose time has come since is not the visitor's any more.
    if (app === undefined || !(decision instanceof AppDecision)) return loginNeeded(asked);
    this.#learn(asked, app);
    if (app.state !== "running") return readable(asked, notRunning(app, decision.visitor, deploymentUrl()));
    const first = firstPage(app.target, "", request);
    if (first !== undefined) return first;
    this.#origins.set(decision, { question, decidedAt: claims.iat * 1_000 });
    return {
      decision,
      app,
      relation: asked.rule.answerRelation,
      identity: claims.grant.visitor,
      origin: asked.origin,
      onMainHost: false,
      target: `${app.target.basePath}${request.url ?? "/"}`,
      endsAt: claims.grant.ends_at,
      stillHolds: async () => (await this.askAgain(decision)) !== ENDED,
    };
  }

  #learn({ label }: Asked, { owner }: ShownApp): void {
    if (!("alias" in label.place)) return;
    this.#aliases.delete(label.place.alias);
    this.#aliases.set(label.place.alias, {
      owner: owner.username.toLowerCase(),
      learnedAt: this.#options.clock(),
    });
    const [oldest] = this.#aliases.keys();
    if (this.#aliases.size > MAX_ALIASES && oldest !== undefined) this.#aliases.delete(oldest);
  }

  /** The session of the host; "" without one, or with what cannot be one. */
  #session({ facts }: UnderstoodRequest): string {
    const session = cookieValue(facts.headers.cookie, appCookies(this.#isSecure).session) ?? "";
    return SESSION.test(session) ? session : "";
  }

  #question({ hostname, label }: UnderstoodRequest, credential: string, target = "/"): IssueAppTokenRequest {
    const { place, prefix, program } = label;
    const names = "alias" in place ? { owner: "", workspace: "", agent: "" } : place;
    const query = target.indexOf("?");
    return {
      app_request: {
        access_method: "subdomain",
        base_path: "/",
        app_prefix: prefix,
        username_or_id: names.owner,
        workspace_name_or_id: names.workspace,
        agent_name_or_id: names.agent,
        app_slug_or_port: program.kind === "slug" ? program.slug : `${program.port}${program.secure ? "s" : ""}`,
      },
      path_app_base_url: this.#options.accessUrl.origin,
      app_hostname: hostname,
      app_path: query < 0 ? target : target.slice(0, query),
      app_query: query < 0 ? "" : target.slice(query + 1),
      // The primary issues none that is longer.
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
