/** What an app host asks for each request, and what it says of the request. */
import type { IncomingMessage } from "node:http";
import type { AppChoices } from "../db/app-choices.ts";
import type { Admission } from "./app-traffic.ts";
import type { CorsRule, Relation, RequestFacts } from "./cross-origin.ts";
import type { AppLabel, AppPlace } from "./label.ts";
import type { AppAnswer } from "./pages.ts";

/** A request that was understood. */
export interface UnderstoodRequest {
  readonly request: IncomingMessage;
  readonly facts: RequestFacts;
  readonly label: AppLabel;
  /** In lower case, without a port. */
  readonly hostname: string;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
}

/** An understood request, and how the page that sent it relates to the app. */
export interface Asked extends UnderstoodRequest {
  readonly relation: Relation;
  readonly rule: CorsRule;
}

/** Who may use which program: what the server looks up in its store, and a workspace proxy asks the deployment for. */
export interface AppGate {
  /** Whose apps are at a place, in any form that is equal for those of one user; undefined where it is not known. */
  ownerOf(place: AppPlace): Promise<string | undefined>;
  /** How the program answers a page of a foreign origin; undefined where that is not known. */
  choicesFor(asked: UnderstoodRequest): Promise<AppChoices | undefined>;
  /** Whether the program itself answers preflights of foreign origins: it is public, and has chosen so. */
  answersPreflights(asked: Asked): Promise<boolean>;
  /** Whether a request target of the server's own belongs to a sign-in that is under way. */
  isOfSignIn(target: string, hostname: string): boolean;
  /** Takes the ticket of a request for a session. Undefined: there is none in it. */
  redeem(request: IncomingMessage, asked: Asked): Promise<AppAnswer | undefined>;
  /** Who asks, for what, and whether that is allowed; otherwise the answer. */
  admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer>;
}
