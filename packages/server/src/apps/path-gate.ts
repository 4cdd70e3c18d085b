/** What a host with apps below paths asks for each request, and what it says of the request. */
import type { IncomingMessage } from "node:http";
import type { Admission } from "./app-traffic.ts";
import type { Relation, RequestFacts } from "./cross-origin.ts";
import { LOGIN_HEADER } from "./names.ts";
import type { AppAnswer } from "./pages.ts";
import type { PathNames } from "./path-names.ts";

/** A request that was understood. */
export interface PathAsked {
  readonly request: IncomingMessage;
  readonly facts: RequestFacts;
  readonly names: PathNames;
  /** Everything before the app's own path, as it was sent, without a slash at the end. */
  readonly prefix: string;
  /** What the app gets. */
  readonly rest: string;
  /** In lower case, without a port. */
  readonly hostname: string;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  /** How the page that sent it relates to the app. */
  readonly relation: Relation;
}

/** Who may use which program: what the server looks up in its store, and a workspace proxy asks the deployment for. */
export interface PathGate {
  /** What becomes of the ticket of a sign-in. Undefined: there is none in the request. */
  redeem(asked: PathAsked): Promise<AppAnswer | undefined>;
  /** Who asks, for what, and whether that is allowed; otherwise the answer. */
  admit(asked: PathAsked): Promise<Admission | AppAnswer>;
}

/** To a request that is no navigation. */
export function pathLoginNeeded({ origin, prefix }: Pick<PathAsked, "origin" | "prefix">): AppAnswer {
  const url = `${origin}${prefix}/`;
  return {
    status: 401,
    title: "Sign in to this app first",
    text: `Open ${url} in the browser`,
    headers: { [LOGIN_HEADER]: url },
    fields: { url },
  };
}
