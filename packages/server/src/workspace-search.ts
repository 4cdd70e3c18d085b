/** The `q` parameter of GET /workspaces: `key:value` and `key:"quoted value"` terms; a bare word is part of a name. */
export interface WorkspaceQuery {
  readonly owner: string | undefined;
  readonly name: string | undefined;
  readonly template: string | undefined;
  readonly status: string | undefined;
  readonly hasAgent: string | undefined;
  readonly hasExternalAgent: boolean | undefined;
}

const MAX_QUERY_LENGTH = 2000;
const KEYS = new Set(["owner", "name", "template", "status", "has-agent", "has-external-agent"]);

/** The problem in words when the query cannot be used. */
export function parseWorkspaceQuery(text: string): WorkspaceQuery | { readonly problem: string } {
  if (text.length > MAX_QUERY_LENGTH) return { problem: `must have at most ${MAX_QUERY_LENGTH} characters` };
  const terms = new Map<string, string>();
  for (const term of splitTerms(text)) {
    const colon = term.indexOf(":");
    if (colon < 0) {
      // owner/name names one workspace, anything else a part of a name.
      const [owner, name, ...rest] = term.split("/");
      if (rest.length > 0) return { problem: `"${term}" has more than one "/"` };
      if (name === undefined) terms.set("name", unquote(term));
      else terms.set("owner", unquote(owner ?? "")).set("name", unquote(name));
      continue;
    }
    const key = term.slice(0, colon).toLowerCase();
    const value = unquote(term.slice(colon + 1));
    if (!KEYS.has(key)) return { problem: `"${key}" is not a valid query param` };
    if (value === "") return { problem: `"${key}" needs a value` };
    terms.set(key, value);
  }
  const external = terms.get("has-external-agent")?.toLowerCase();
  if (external !== undefined && external !== "true" && external !== "false") {
    return { problem: '"has-external-agent" must be true or false' };
  }
  return {
    owner: terms.get("owner"),
    name: terms.get("name"),
    template: terms.get("template"),
    status: terms.get("status")?.toLowerCase(),
    hasAgent: terms.get("has-agent")?.toLowerCase(),
    hasExternalAgent: external === undefined ? undefined : external === "true",
  };
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
