/** What a host with apps below paths asks about each request, and how it describes the request. */
import type { IncomingMessage } from "node:http";
import type { Admission } from "./app-traffic.ts";
import type { Relation, RequestFacts } from "./cross-origin.ts";
import { LOGIN_HEADER } from "./names.ts";
import type { AppAnswer } from "./pages.ts";
import type { PathNames } from "./path-names.ts";

/** A request whose path names an app. */
export interface PathAsked {
  readonly request: IncomingMessage;
  readonly facts: RequestFacts;
  readonly names: PathNames;
  /** Everything before the app's own path, as sent, without a trailing slash. */
  readonly prefix: string;
  /** The request target that the app receives. */
  readonly rest: string;
  /** In lower case, without a port. */
  readonly hostname: string;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  /** How the page that sent the request is related to the app. */
  readonly relation: Relation;
}

/** Who may use which program. The server looks this up in its store; a workspace proxy asks the deployment. */
export interface PathGate {
  /** Exchanges the ticket in a request for a session. Undefined if the request has no ticket. */
  redeem(asked: PathAsked): Promise<AppAnswer | undefined>;
  /** Admits the visitor to the app, or returns the answer that says why not. */
  admit(asked: PathAsked): Promise<Admission | AppAnswer>;
}

/** The answer to a request that is not a navigation and needs a sign-in. */
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
