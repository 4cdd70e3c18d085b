/**
 * Whether a page may use a visitor's session with an app, from Origin and Fetch Metadata (https://www.w3.org/TR/fetch-metadata/).
 * SameSite cookies do not separate two apps below one domain: these headers do.
 */
import type { IncomingHttpHeaders } from "node:http";
import type { AppChoices } from "../db/app-choices.ts";

/** How the page that sent a request is related to the app. */
export type Relation =
  /** A page of the app itself, or a request that no page sent. */
  | "own"
  /** A page of another app of the same owner. */
  | "sibling"
  | "foreign";

export interface RequestFacts {
  readonly method: string;
  readonly upgrade: boolean;
  readonly headers: IncomingHttpHeaders;
}

export function relationOf(
  origin: string | undefined,
  own: string,
  siblings: ReadonlySet<string> = new Set(),
): Relation {
  if (origin === undefined || origin === own) return "own";
  return siblings.has(origin) ? "sibling" : "foreign";
}

/** Whether the app's session cookie is honoured. Without it the request is anonymous. */
export function cookieCounts({ method, upgrade, headers }: RequestFacts, relation: Relation): boolean {
  if (relation === "foreign") return false;
  const reads = method === "GET" || method === "HEAD";
  // Upgrades carry no Fetch Metadata, but browsers always send their Origin.
  if (upgrade) return headers.origin !== undefined;
  const site = single(headers["sec-fetch-site"]);
  if (site === undefined) return headers.origin !== undefined || reads;
  if (site === "same-origin" || site === "none") return true;
  if (site !== "same-site" && site !== "cross-site") return false;
  if (relation === "sibling") return true;
  const { mode, dest } = { mode: single(headers["sec-fetch-mode"]), dest: single(headers["sec-fetch-dest"]) };
  return reads && mode === "navigate" && dest === "document";
}

/** Whether a person is following a link. Only then may the answer be a redirect to the sign-in. */
export function isNavigation({ method, upgrade, headers }: RequestFacts): boolean {
  if (upgrade || (method !== "GET" && method !== "HEAD")) return false;
  const mode = single(headers["sec-fetch-mode"]);
  if (mode !== undefined) return mode === "navigate";
  return (headers.accept ?? "").includes("text/html");
}

export function isPreflight({ method, headers }: RequestFacts): boolean {
  return method === "OPTIONS" && headers.origin !== undefined && asked(headers) !== undefined;
}

/** How a program's cross-origin settings apply to a request. */
export interface CorsRule {
  /** Decides whether the visitor's session is honoured and whether the page may read the server's own answers. */
  readonly relation: Relation;
  /** Decides how the program's answer is changed. */
  readonly answerRelation: Relation;
}

/** A program with `passthru` answers other origins itself; the origins that it lists may use the visitor's session. */
export function corsRule(relation: Relation, origin: string | undefined, choices: AppChoices | undefined): CorsRule {
  if (relation !== "foreign" || choices?.cors !== "passthru") return { relation, answerRelation: relation };
  const listed = origin !== undefined && choices.corsOrigins.includes(origin);
  return { relation: listed ? "sibling" : "foreign", answerRelation: "own" };
}

const ALLOWED_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]);
const MAX_ASKED_HEADERS = 4096;
const TOKENS = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*$/;
const PREFLIGHT_SECONDS = 600;

/** The answer to a preflight from a page of a sibling app; undefined if it asks for more than is granted. */
export function preflightAnswer(headers: IncomingHttpHeaders): Record<string, string> | undefined {
  const method = asked(headers);
  if (headers.origin === undefined || method === undefined || !ALLOWED_METHODS.has(method)) return undefined;
  const names = single(headers["access-control-request-headers"]);
  if (names !== undefined && (names.length > MAX_ASKED_HEADERS || !TOKENS.test(names))) return undefined;
  const answer: Record<string, string> = {
    ...siblingHeaders(headers.origin),
    Vary: "Origin",
    "Access-Control-Allow-Methods": method,
    "Access-Control-Max-Age": String(PREFLIGHT_SECONDS),
  };
  if (names !== undefined) answer["Access-Control-Allow-Headers"] = names;
  return answer;
}

/** Headers that let a page of a sibling app read an answer. */
export function siblingHeaders(origin: string): Record<string, string> {
  return { "Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true" };
}

function asked(headers: IncomingHttpHeaders): string | undefined {
  return single(headers["access-control-request-method"]);
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}
