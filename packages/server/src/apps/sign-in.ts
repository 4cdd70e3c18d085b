/**
 * How a browser with a login at the main host gets a session at an app host, without the login's token leaving the main host: app
 * host (state cookie) → main host (ticket) → app host (session cookie).
 */

import type { ShareLevel } from "coder-protocol/rest/apps";
import type { WallClock } from "../base/clock.ts";
import { type Wildcard, wildcardLabel, wildcardOrigin } from "../base/wildcard.ts";
import { type AppChains, type ChainStop, chainId } from "./chains.ts";
import { companionStops } from "./companion-stops.ts";
import { AppDecision, type Visitor } from "./decision.ts";
import { type AppLabel, parseAppLabel } from "./label.ts";
import { queryValue, TICKET_PARAMETER, withoutOwnParameters } from "./names.ts";
import type { AppAnswer } from "./pages.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";
import { NO_PROXY, type SealedTickets } from "./sealed-tickets.ts";
import { badTicket, beginSignIn, seeOther, sessionCookies } from "./sign-in-answers.ts";
import { isState } from "./tickets.ts";
import type { Visitors } from "./visitors.ts";

export interface SignInOptions {
  readonly wildcard: Wildcard;
  readonly accessUrl: () => URL;
  readonly tickets: SealedTickets;
  readonly chains: AppChains;
  readonly visitors: Visitors;
  readonly resolver: AppResolver;
  readonly clock: WallClock;
  readonly maxLevel: ShareLevel;
}

export class SignIn {
  readonly #options: SignInOptions;

  constructor(options: SignInOptions) {
    this.#options = options;
  }

  /** On an app host: redirects a navigation to the main host. */
  begin(origin: string, target: string): AppAnswer {
    return beginSignIn(this.#options.accessUrl(), origin, target);
  }

  /**
   * On the main host: answers a navigation of a logged-in person.
   * @returns Where to continue with a ticket, or the refusal.
   */
  async decide(
    visitor: Visitor,
    redirectUri: string,
    state: string,
  ): Promise<{ readonly location: string } | { readonly refused: AppAnswer }> {
    const asked = this.#destination(redirectUri);
    if (typeof asked === "string") return refused(400, "Invalid redirect_uri", asked);
    if (!isState(state)) return refused(400, "Invalid state", "Open the app again to start a new sign-in.");
    const { clock, maxLevel, resolver, tickets } = this.#options;
    const now = clock.now();
    const resolved = await resolver.resolve(asked.label);
    const decision = AppDecision.make(resolved?.target, visitor, { maxLevel, now });
    if (!(decision instanceof AppDecision)) return { refused: notFoundAnswer(this.#options.accessUrl()) };
    return { location: withTicket(asked.href, tickets.issue(visitor, placeAt(asked.host), state, now)) };
  }

  /**
   * On an app host: exchanges the ticket in a request target for a session. Undefined if the target has none.
   * @param at The host: its name in lower case and without a port, its origin, and its label.
   */
  async redeem(
    target: string,
    at: { readonly hostname: string; readonly origin: string; readonly label: AppLabel },
    nonce: string | undefined,
  ): Promise<AppAnswer | undefined> {
    const { hostname: host } = at;
    const ticket = queryValue(target, TICKET_PARAMETER);
    if (ticket === undefined) return undefined;
    const clean = withoutOwnParameters(target);
    const { chains, clock, tickets, visitors } = this.#options;
    const redeemed = nonce === undefined ? undefined : tickets.redeem(ticket, placeAt(host), nonce, clock.now());
    const session = redeemed && (await visitors.begin(redeemed.holder, host, redeemed.sessionId));
    if (session === undefined) return badTicket(at.origin, clean);
    const cookies = sessionCookies(session.id, session.maxAgeSeconds, at.origin);
    const stops = chainId(clean) === undefined ? await this.#stops(session.visitor, at.label, host) : [];
    const destination = `${at.origin}${clean}`;
    const first = chains.begin(session.visitor.userId, stops, destination, clock.now());
    return seeOther(first ?? destination, cookies);
  }

  /** On an app host: whether a chain of sign-ins stops here. */
  chainStops(id: string, hostname: string): boolean {
    return this.#options.chains.stopsAt(id, hostname, this.#options.clock.now());
  }

  /** On an app host: sends a visitor with a session to the next stop. Undefined if the chain belongs to another user. */
  followChain(id: string, hostname: string, { userId }: Visitor): AppAnswer | undefined {
    const { chains, clock } = this.#options;
    const next = chains.next(id, hostname, userId, clock.now());
    return next === undefined ? undefined : seeOther(next, []);
  }

  /** The hosts of the apps declared beside this one, limited to those that the visitor may use. */
  async #stops(visitor: Visitor, label: AppLabel, host: string): Promise<ChainStop[]> {
    const { accessUrl, resolver, wildcard } = this.#options;
    const admits = (app: ResolvedApp): boolean => this.#admits(app, visitor);
    return await companionStops(label, host, { resolver, wildcard, accessUrl: accessUrl(), admits });
  }

  #admits(app: ResolvedApp, visitor: Visitor): boolean {
    const { clock, maxLevel } = this.#options;
    return AppDecision.make(app.target, visitor, { maxLevel, now: clock.now() }) instanceof AppDecision;
  }

  /** The app that a redirect_uri names, or what is wrong with it. Malformed input is never corrected. */
  #destination(text: string) {
    const { accessUrl, wildcard } = this.#options;
    const destination = destinationOf(text);
    if (destination === undefined) return NO_DESTINATION;
    const { url, hostname, target } = destination;
    const label = wildcardLabel(wildcard, hostname);
    if (label === undefined) return "Its host is not below the wildcard access URL.";
    if (url.protocol !== accessUrl().protocol) return `It has to begin with ${accessUrl().protocol}//.`;
    if (url.origin !== wildcardOrigin(wildcard, label, accessUrl()))
      return "Its port is not that of the wildcard access URL.";
    const parsed = parseAppLabel(label);
    if ("error" in parsed) return `Its host names no app: ${parsed.error}.`;
    return { label: parsed, host: hostname, href: `${url.origin}${target}` };
  }
}

function placeAt(host: string) {
  return { proxyId: NO_PROXY, host };
}

/** The same answer for an app that does not exist and for one that the visitor may not use, so that a visitor cannot distinguish them. */
export function notFoundAnswer(accessUrl: URL): AppAnswer {
  return {
    status: 404,
    title: "Application Not Found",
    text: "The application does not exist, or you do not have access to it.",
    links: [{ href: accessUrl.href, text: "Back to the deployment" }],
  };
}

export const NO_DESTINATION = "It has to be the address of an app, without a user name or a fragment.";

/**
 * Parses a redirect_uri. Anything that a URL parser would repair is refused, because a later parser might repair it differently.
 */
export function destinationOf(
  text: string,
): { readonly url: URL; readonly hostname: string; readonly target: string } | undefined {
  if (
    !/^https?:\/\/(?:[A-Za-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?\/[\x21-\x7e]*$/.test(text) ||
    /^[^?]*\\|#/.test(text) ||
    !URL.canParse(text)
  )
    return undefined;
  const url = new URL(text);
  // An IPv6 address has many spellings. Only the one that a URL parser writes is accepted.
  if (url.hostname.startsWith("[") && !text.startsWith(`${url.protocol}//${url.hostname}`)) return undefined;
  // The path is taken as received: a URL parser would resolve dot segments.
  const target = withoutOwnParameters(text.slice(text.indexOf("/", text.indexOf("//") + 2)));
  return { url, hostname: url.hostname.toLowerCase(), target };
}

export function withTicket(href: string, ticket: string): string {
  return `${href}${href.includes("?") ? "&" : "?"}${TICKET_PARAMETER}=${ticket}`;
}

export function refused(status: number, title: string, text: string): { refused: AppAnswer } {
  return { refused: { status, title, text } };
}
