import { isUuid } from "coder-protocol/addresses";

/** The `q` parameter of GET /workspaces: `key:value` and `key:"quoted value"` terms; a bare word is part of a name. */
export interface WorkspaceQuery {
  readonly id: string | undefined;
  readonly owner: string | undefined;
  readonly name: string | undefined;
  readonly template: string | undefined;
  readonly organization: string | undefined;
  readonly status: string | undefined;
  /** Matches any of these. */
  readonly hasAgent: readonly string[] | undefined;
  /** Ms since the epoch. */
  readonly lastUsedBefore: number | undefined;
  readonly lastUsedAfter: number | undefined;
  /** The query asks for something that no workspace here has: being shared, dormant or outdated, or having a parameter. */
  readonly nothing: boolean;
}

const MAX_QUERY_LENGTH = 2000;

/** Properties that no workspace here has; with `false`, such a term matches all. */
const NEVER = new Set(["shared", "dormant", "is-dormant", "outdated", "has-ai-task"]);
/** Properties that every workspace here has. */
const ALWAYS = new Set(["has-external-agent"]);
/** Keys that match no workspace here, whatever their value. */
const ABSENT = new Set(["param", "shared_with_user", "shared_with_group"]);
const TIMES = new Set(["last_used_before", "last_used_after"]);
const TEXTS = new Set(["id", "owner", "name", "template", "organization", "status", "has-agent"]);

const TRUE = new Set(["true", "t", "1"]);
const FALSE = new Set(["false", "f", "0"]);
const RFC_3339 = /^\d{4}-\d\d-\d\dt\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:z|[+-]\d\d:\d\d)$/i;

type Problem = { readonly problem: string };

/** Parses a query; returns the problem in words if it is invalid. */
export function parseWorkspaceQuery(text: string): WorkspaceQuery | Problem {
  if (text.length > MAX_QUERY_LENGTH) return { problem: `must have at most ${MAX_QUERY_LENGTH} characters` };
  const texts = new Map<string, string>();
  const times = new Map<string, number>();
  let healthy: boolean | undefined;
  let nothing = false;
  for (const term of splitTerms(text)) {
    const colon = term.indexOf(":");
    if (colon < 0) {
      // owner/name names one workspace; any other word is a part of a name.
      const [owner, name, ...rest] = term.split("/");
      if (rest.length > 0) return { problem: `"${term}" has more than one "/"` };
      if (name === undefined) texts.set("name", unquote(term));
      else texts.set("owner", unquote(owner ?? "")).set("name", unquote(name));
      continue;
    }
    const key = term.slice(0, colon).toLowerCase();
    const value = unquote(term.slice(colon + 1));
    if (value === "") return { problem: `"${key}" needs a value` };
    if (TEXTS.has(key)) {
      if (key === "id" && !isUuid(value)) return { problem: '"id" must be a UUID' };
      texts.set(key, value);
    } else if (TIMES.has(key)) {
      const time = RFC_3339.test(value) ? Date.parse(value.toUpperCase()) : Number.NaN;
      if (Number.isNaN(time)) return { problem: `"${key}" must be a time such as "2026-01-31T23:59:59Z"` };
      times.set(key, time);
    } else if (ABSENT.has(key)) {
      nothing = true;
    } else if (NEVER.has(key) || ALWAYS.has(key) || key === "healthy") {
      const wanted = parseBoolean(value);
      if (wanted === undefined) return { problem: `"${key}" must be true or false` };
      if (key === "healthy") healthy = wanted;
      else nothing ||= wanted === NEVER.has(key);
    } else {
      return { problem: `"${key}" is not a valid query param` };
    }
  }
  return {
    id: texts.get("id")?.toLowerCase(),
    owner: texts.get("owner"),
    name: texts.get("name"),
    template: texts.get("template"),
    organization: texts.get("organization")?.toLowerCase(),
    status: texts.get("status")?.toLowerCase(),
    hasAgent: wantedAgents(texts.get("has-agent"), healthy),
    lastUsedBefore: times.get("last_used_before"),
    lastUsedAfter: times.get("last_used_after"),
    nothing,
  };
}

/** `healthy` is short for statuses of the agent, as with stock servers. */
function wantedAgents(status: string | undefined, healthy: boolean | undefined): readonly string[] | undefined {
  if (status !== undefined) return status.toLowerCase().split(",");
  if (healthy === undefined) return undefined;
  return healthy ? ["connected"] : ["disconnected", "timeout"];
}

function parseBoolean(text: string): boolean | undefined {
  const lower = text.toLowerCase();
  if (TRUE.has(lower)) return true;
  return FALSE.has(lower) ? false : undefined;
}

/** Splits at spaces outside quotes. */
function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let current = "";
  let quoted = false;
  for (const character of text) {
    if (character === '"') quoted = !quoted;
    if (character === " " && !quoted) {
      if (current !== "") terms.push(current);
      current = "";
    } else {
      current += character;
    }
  }
  if (current !== "") terms.push(current);
  return terms;
}

function unquote(text: string): string {
  return text.replaceAll('"', "").trim();
}
