/** Decides who may use which app at a host below this proxy's wildcard: asks the primary, and lets a browser sign in there. */
import type { IncomingMessage } from "node:http";
import type { Instant } from "wg-userspace/base/instant";
import { loginNeeded, readable } from "../../apps/app-answers.ts";
import type { AppGate, Asked, UnderstoodRequest } from "../../apps/app-gate.ts";
import type { Admission } from "../../apps/app-traffic.ts";
import { chainId } from "../../apps/chains.ts";
import { isNavigation } from "../../apps/cross-origin.ts";
import type { AppTarget } from "../../apps/decision.ts";
import type { AppPlace } from "../../apps/label.ts";
import type { AppAnswer } from "../../apps/pages.ts";
import type { ShownApp } from "../../apps/shown-app.ts";
import { APP_TOKEN_LIFE_MS } from "../../base/app-token.ts";
import type { AppQuestions, Visit } from "./app-questions.ts";

const MAX_ALIASES = 10_000;

export interface ProxyGateOptions {
  readonly questions: AppQuestions;
  readonly clock: () => Instant;
}

export class ProxyGate implements AppGate {
  readonly #options: ProxyGateOptions;
  /** The owner's name by the alias of an agent, the oldest entry first. An entry is valid as long as a grant. */
  readonly #aliases = new Map<string, { readonly owner: string; readonly learnedAt: Instant }>();

  constructor(options: ProxyGateOptions) {
    this.#options = options;
  }

  async ownerOf(place: AppPlace): Promise<string | undefined> {
    if (!("alias" in place)) return place.owner;
    const known = this.#aliases.get(place.alias);
    return known !== undefined && this.#options.clock() - known.learnedAt < APP_TOKEN_LIFE_MS ? known.owner : undefined;
  }

  async choicesFor(asked: UnderstoodRequest): Promise<AppTarget | undefined> {
    return await this.#options.questions.targetFor(visitOf(asked), "visitor");
  }

  async answersPreflights(asked: Asked): Promise<boolean> {
    if (asked.relation !== "foreign") return false;
    return (await this.#options.questions.targetFor(visitOf(asked), "stranger"))?.cors === "passthru";
  }

  /** The primary decides whether there is such a sign-in. */
  isOfSignIn(target: string): boolean {
    return chainId(target) !== undefined;
  }

  async redeem(_request: IncomingMessage, asked: Asked): Promise<AppAnswer | undefined> {
    return await this.#options.questions.redeem(visitOf(asked));
  }

  async admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer> {
    const { questions } = this.#options;
    const { facts, origin, rule } = asked;
    const target = request.url ?? "/";
    // Even if there is a session, because the answer to the ticket says where the chain continues.
    if (chainId(target) !== undefined)
      return isNavigation(facts) ? questions.beginSignIn(origin, target) : loginNeeded(asked);
    return await questions.admit(visitOf(asked), {
      relation: rule.relation,
      answerRelation: rule.answerRelation,
      prefix: "",
      rest: target,
      onMainHost: false,
      loginNeeded: () => loginNeeded(asked),
      readable: (answer) => readable(asked, answer),
      onApp: (app) => this.#learn(asked, app),
    });
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
}

function visitOf({ request, facts, hostname, origin, label }: UnderstoodRequest): Visit {
  const { place, prefix, program } = label;
  const names = "alias" in place ? { owner: "", workspace: "", agent: "" } : place;
  return {
    request,
    facts,
    hostname,
    origin,
    named: {
      access_method: "subdomain",
      base_path: "/",
      app_prefix: prefix,
      username_or_id: names.owner,
      workspace_name_or_id: names.workspace,
      agent_name_or_id: names.agent,
      app_slug_or_port: program.kind === "slug" ? program.slug : `${program.port}${program.secure ? "s" : ""}`,
    },
  };
}
