/**
 * Everything that a host below the wildcard access URL serves: the program that its name stands for, and nothing of the server.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { type Wildcard, wildcardLabel } from "../base/wildcard.ts";
import { readable } from "./app-answers.ts";
import type { AppGate, Asked } from "./app-gate.ts";
import type { AppTraffic } from "./app-traffic.ts";
import {
  corsRule,
  isPreflight,
  preflightAnswer,
  type Relation,
  type RequestFacts,
  relationOf,
} from "./cross-origin.ts";
import { type AppLabel, parseAppLabel } from "./label.ts";
import type { AppAnswer } from "./pages.ts";
import { hasBody, refuseUpgrade, sendAnswer } from "./send-answer.ts";
import { MAX_TARGET } from "./sign-in-answers.ts";

/** Paths reserved for the server on every app host. */
const RESERVED = /^\/\.coder(?:[/?]|$)/;
/** Reserved label: Coder used it for logging out of apps. */
const LOGOUT_LABEL = "coder-logout";

export interface AppHostOptions {
  readonly wildcard: Wildcard;
  /** App hosts have the scheme and port of this URL. */
  readonly accessUrl: () => URL;
  /** The access URL of the deployment itself. */
  readonly deploymentUrl: () => URL;
  readonly gate: AppGate;
  readonly traffic: AppTraffic;
}

export class AppHost {
  readonly #options: AppHostOptions;

  constructor(options: AppHostOptions) {
    this.#options = options;
  }

  /** @param hostname The request's host in lower case, without a port; it is below the wildcard. */
  async request(request: IncomingMessage, response: ServerResponse, hostname: string): Promise<void> {
    const asked = await this.#understand(request, hostname, false);
    const answer = "status" in asked ? asked : await this.#serve(request, response, asked);
    if (answer === undefined) return;
    sendAnswer(request, response, answer);
  }

  /** Takes ownership of the socket. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, hostname: string): Promise<void> {
    const asked = await this.#understand(request, hostname, true);
    const answer = "status" in asked ? asked : await this.#serveUpgrade(request, socket, head, asked);
    if (answer !== undefined) refuseUpgrade(socket, answer);
  }

  async #understand(request: IncomingMessage, hostname: string, upgrade: boolean): Promise<Asked | AppAnswer> {
    const { accessUrl, deploymentUrl, gate, wildcard } = this.#options;
    const target = request.url ?? "/";
    const text = wildcardLabel(wildcard, hostname) ?? "";
    if (text === LOGOUT_LABEL)
      return { status: 303, title: "See Other", text: "", headers: { Location: deploymentUrl().href } };
    if (target.length > MAX_TARGET) return plain(414, "The URL is too long");
    // CONNECT never reaches this code. The answer to TRACE would show a page the cookies that its scripts may not read.
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
    if (RESERVED.test(target) && (upgrade || !gate.isOfSignIn(target, hostname))) return plain(404, "Not found");
    const origin = `${accessUrl().protocol}//${(request.headers.host ?? "").toLowerCase()}`;
    const facts: RequestFacts = { method: request.method ?? "GET", upgrade, headers: request.headers };
    const relation = await this.#relation(facts, origin, label);
    const understood = { request, facts, label, hostname, origin };
    const choices = relation === "foreign" ? await gate.choicesFor(understood) : undefined;
    return { ...understood, relation, rule: corsRule(relation, facts.headers.origin, choices) };
  }

  async #serve(request: IncomingMessage, response: ServerResponse, asked: Asked): Promise<AppAnswer | undefined> {
    const { facts, relation, rule } = asked;
    if (isPreflight(facts) && relation !== "own" && !(await this.#options.gate.answersPreflights(asked))) {
      const granted = rule.relation === "sibling" ? preflightAnswer(facts.headers) : undefined;
      if (granted === undefined) response.writeHead(403, { "Content-Length": "0" });
      else response.writeHead(204, granted);
      response.end();
      return undefined;
    }
    if (facts.method === "GET" || facts.method === "HEAD") {
      const redeemed = await this.#options.gate.redeem(request, asked);
      if (redeemed !== undefined) return redeemed;
    }
    const admitted = await this.#options.gate.admit(request, asked);
    if ("status" in admitted) return admitted;
    const answer = await this.#options.traffic.request(request, response, admitted);
    return answer === undefined ? undefined : readable(asked, answer);
  }

  async #serveUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    asked: Asked,
  ): Promise<AppAnswer | undefined> {
    if (hasBody(request)) return plain(400, "An upgrade has no body");
    const admitted = await this.#options.gate.admit(request, asked);
    if ("status" in admitted) return admitted;
    const answer = await this.#options.traffic.upgrade(request, socket, head, admitted);
    return answer === undefined ? undefined : readable(asked, answer);
  }

  async #relation({ headers }: RequestFacts, own: string, label: AppLabel): Promise<Relation> {
    const { origin } = headers;
    if (relationOf(origin, own) === "own" || origin === undefined) return "own";
    const { accessUrl, gate, wildcard } = this.#options;
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) return "foreign";
    const url = new URL(origin);
    const other = wildcardLabel(wildcard, url.hostname);
    if (other === undefined || url.protocol !== accessUrl().protocol) return "foreign";
    const parsed = parseAppLabel(other);
    if ("error" in parsed) return "foreign";
    const owners = await Promise.all([gate.ownerOf(parsed.place), gate.ownerOf(label.place)]);
    const siblings = owners[0] !== undefined && owners[0] === owners[1] ? [origin] : [];
    return relationOf(origin, own, new Set(siblings));
  }
}

function plain(status: number, title: string): AppAnswer {
  return { status, title, text: "" };
}
