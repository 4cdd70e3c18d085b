/**
 * Paths of apps on the deployment's own host:
 *
 *     /@{owner}/{workspace}[.{agent}]/apps/{slug}/{rest}
 *
 * The raw path is matched once and the rest is forwarded as received: if two parsers read one path differently, they would make
 * two decisions.
 */
import { parseProgram } from "./label.ts";

export interface PathNames {
  readonly owner: string;
  readonly workspace: string;
  /** Undefined: whichever agent has the app. */
  readonly agent: string | undefined;
  readonly slug: string;
}

export type AppPath =
  | {
      readonly kind: "app";
      readonly names: PathNames;
      /** Everything before the app's own path, as sent, without a trailing slash. */
      readonly prefix: string;
      /** The path that the app receives, with its leading slash; undefined if the slash after the slug is missing. */
      readonly rest: string | undefined;
      /** The query with its question mark, for the redirect when `rest` is undefined. */
      readonly query: string;
    }
  | { readonly kind: "port" | "me" | "malformed" };

/** Matches any target that may be meant for an app. Those not in the form above are refused here and reach no other route. */
const CANDIDATE = /^\/(?:@|%40)[^/?#]*\/[^/?#]*\/apps(?:[/?#]|$)/i;
const FORM =
  /^(\/(?:@|%40)([a-zA-Z0-9-]+)\/([a-zA-Z0-9-]+)(?:\.([a-zA-Z0-9-]+))?\/apps\/([a-zA-Z0-9-]+))(\/[^#]*)?(\?[^#]*)?$/;

/**
 * @param target The request target as received.
 * @returns Undefined if the target is not meant for an app.
 */
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
