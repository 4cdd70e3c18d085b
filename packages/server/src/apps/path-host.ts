/**
 * Apps below a path of the deployment's own host, or of a workspace proxy's. Their pages share one origin with each other and
 * with everything else on that host. The checks here cannot make that safe, so without a setting only the owner may use such an
 * app.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { hostname } from "../auth/hosts.ts";
import type { AppTraffic } from "./app-traffic.ts";
import { isPreflight, type RequestFacts, relationOf } from "./cross-origin.ts";
import type { AppAnswer } from "./pages.ts";
import type { PathAsked, PathGate } from "./path-gate.ts";
import { type AppPath, parseAppPath } from "./path-names.ts";
import { hasBody, refuseUpgrade, sendAnswer } from "./send-answer.ts";
import { MAX_TARGET } from "./sign-in-answers.ts";

export interface PathHostOptions {
  /** The answer if this host serves no apps below paths; undefined if it does. */
  readonly refusal: AppAnswer | undefined;
  /** The host has the scheme of this URL. */
  readonly accessUrl: () => URL;
  readonly gate: PathGate;
  readonly traffic: AppTraffic;
}

/** The answer of a server or workspace proxy whose administrator has disabled apps below paths. */
export function pathAppsDisabled(where: "deployment" | "workspace proxy"): AppAnswer {
  return {
    status: 403,
    title: "Forbidden",
    text: `Path-based applications are disabled on this ${where} by the administrator (--disable-path-apps).`,
  };
}

export class PathHost {
  readonly #options: PathHostOptions;

  constructor(options: PathHostOptions) {
    this.#options = options;
  }

  async request(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = this.#understand(request, false);
    const answer = "status" in asked ? asked : await this.#serve(request, response, asked);
    if (answer !== undefined) sendAnswer(request, response, answer);
  }

  /** Takes ownership of the socket. */
  async upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const asked = hasBody(request)
      ? { status: 400, title: "An upgrade has no body", text: "" }
      : this.#understand(request, true);
    const answer = "status" in asked ? asked : await this.#serveUpgrade(request, socket, head, asked);
    if (answer !== undefined) refuseUpgrade(socket, answer);
  }

  async #serve(request: IncomingMessage, response: ServerResponse, asked: PathAsked): Promise<AppAnswer | undefined> {
    const { gate, traffic } = this.#options;
    const redeemed = await gate.redeem(asked);
    if (redeemed !== undefined) return redeemed;
    const admitted = await gate.admit(asked);
    return "status" in admitted ? admitted : await traffic.request(request, response, admitted);
  }

  async #serveUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    asked: PathAsked,
  ): Promise<AppAnswer | undefined> {
    const { gate, traffic } = this.#options;
    const redeemed = await gate.redeem(asked);
    if (redeemed !== undefined) return redeemed;
    const admitted = await gate.admit(asked);
    return "status" in admitted ? admitted : await traffic.upgrade(request, socket, head, admitted);
  }

  #understand(request: IncomingMessage, upgrade: boolean): PathAsked | AppAnswer {
    const { refusal, accessUrl } = this.#options;
    const { headers, method = "GET", url: target = "/" } = request;
    if (refusal !== undefined) return refusal;
    if (target.length > MAX_TARGET) return { status: 414, title: "The URL is too long", text: "" };
    if (method === "TRACE") return { status: 405, title: "The method is not allowed", text: "" };
    const path = parseAppPath(target);
    if (path?.kind !== "app") return wrongPath(path?.kind);
    // A service worker of one app would answer for everything else on this host.
    if (headers["service-worker"] !== undefined)
      return { status: 403, title: "Forbidden", text: "Applications below a path have no service workers." };
    const { names, prefix, query, rest } = path;
    if (rest === undefined)
      return { status: 307, title: "Temporary Redirect", text: "", headers: { Location: `${prefix}/${query}` } };
    const origin = `${accessUrl().protocol}//${(headers.host ?? "").toLowerCase()}`;
    const facts: RequestFacts = { method, upgrade, headers };
    const relation = relationOf(headers.origin, origin);
    if (isPreflight(facts) && relation !== "own")
      return { status: 403, title: "Forbidden", text: "Pages of other origins may not use this application." };
    return { request, facts, names, prefix, rest, hostname: hostname(headers.host) ?? "", origin, relation };
  }
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
