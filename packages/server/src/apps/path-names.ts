/**
 * Paths of apps on the deployment's own host:
 *
 *     /@{owner}/{workspace}[.{agent}]/apps/{slug}/{rest}
 *
 * The raw path is matched, once, and the rest passed on as it came: two readings of one path would be two decisions.
 */
import { parseProgram } from "./label.ts";

export interface PathNames {
  readonly owner: string;
  readonly workspace: string;
  /** Undefined: the agent that has the app. */
  readonly agent: string | undefined;
  readonly slug: string;
}

export type AppPath =
  | {
      readonly kind: "app";
      readonly names: PathNames;
      /** Everything before the app's own path, as it was sent, without a slash at the end. */
      readonly prefix: string;
      /** What the app gets, beginning with a slash; undefined when the slash after the slug is missing. */
      readonly rest: string | undefined;
      /** With its question mark, when `rest` is undefined. */
      readonly query: string;
    }
  | { readonly kind: "port" | "me" | "malformed" };

/** Anything that could be meant for an app: what of it is not in the form above is answered here, and by no other route. */
const CANDIDATE = /^\/(?:@|%40)[^/?#]*\/[^/?#]*\/apps(?:[/?#]|$)/i;
const FORM =
  /^(\/(?:@|%40)([a-zA-Z0-9-]+)\/([a-zA-Z0-9-]+)(?:\.([a-zA-Z0-9-]+))?\/apps\/([a-zA-Z0-9-]+))(\/[^#]*)?(\?[^#]*)?$/;

/** @param target Of the request, as it came. Undefined: it has nothing to do with apps. */
export function parseAppPath(target: string): AppPath | undefined {
  if (!CANDIDATE.test(target)) return undefined;
  const match = FORM.exec(target);
  if (match === null) return { kind: "malformed" };
  const [, prefix = "", owner = "", workspace = "", agent, slug = "", rest, query = ""] = match;
  if (owner.toLowerCase() === "me") return { kind: "me" };
  const program = parseProgram(slug.toLowerCase());
  if ("error" in program) return { kind: /^\d{1,5}s?$/i.test(slug) ? "port" : "malformed" };
  if (program.kind === "port") return { kind: "port" };
  return { kind: "app", names: { owner, workspace, agent, slug: program.slug }, prefix, rest, query };
}
