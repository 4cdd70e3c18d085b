/** What an app host asks about each request, and how it describes the request. */
import type { IncomingMessage } from "node:http";
import type { AppChoices } from "../db/app-choices.ts";
import type { Admission } from "./app-traffic.ts";
import type { CorsRule, Relation, RequestFacts } from "./cross-origin.ts";
import type { AppLabel, AppPlace } from "./label.ts";
import type { AppAnswer } from "./pages.ts";

/** A request whose host names an app. */
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

/** Who may use which program. The server looks this up in its store; a workspace proxy asks the deployment. */
export interface AppGate {
  /** The owner of the apps at a place, in a form that is equal for all apps of one user; undefined if unknown. */
  ownerOf(place: AppPlace): Promise<string | undefined>;
  /** How the program answers pages of other origins; undefined if unknown. */
  choicesFor(asked: UnderstoodRequest): Promise<AppChoices | undefined>;
  /** Whether the program itself answers preflights of other origins: it is public and has opted in. */
  answersPreflights(asked: Asked): Promise<boolean>;
  /** Whether a request target belongs to a sign-in that is in progress. */
  isOfSignIn(target: string, hostname: string): boolean;
  /** Exchanges the ticket in a request for a session. Undefined if the request has no ticket. */
  redeem(request: IncomingMessage, asked: Asked): Promise<AppAnswer | undefined>;
  /** Admits the visitor to the app, or returns the answer that says why not. */
  admit(request: IncomingMessage, asked: Asked): Promise<Admission | AppAnswer>;
}
