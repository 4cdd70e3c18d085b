/** How a browser with a login at the main host gets a session at a host of a workspace proxy. */
import type { WallClock } from "../base/clock.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import type { Visitor } from "./decision.ts";
import { type OwnPlaceOptions, ownPlace } from "./own-place.ts";
import type { AppAnswer } from "./pages.ts";
import { type ProxiedApps, placeOf } from "./proxied-apps.ts";
import type { SealedTickets } from "./sealed-tickets.ts";
import { destinationOf, notFoundAnswer, refused, withTicket } from "./sign-in.ts";
import type { TerminalRights } from "./terminal-rights.ts";
import { isState } from "./tickets.ts";
import { placeAt, type Visitors } from "./visitors.ts";

export interface ProxySignInOptions extends OwnPlaceOptions {
  /** Those that browsers may be sent to. */
  readonly proxies: () => readonly WorkspaceProxyRow[];
  readonly apps: ProxiedApps;
  readonly terminals: Pick<TerminalRights, "holds">;
  readonly tickets: SealedTickets;
  readonly visitors: Pick<Visitors, "begin">;
  readonly clock: WallClock;
}

export interface Redemption {
  readonly ticket: string;
  readonly host: string;
  readonly nonce: string;
}

export class ProxySignIn {
  readonly #options: ProxySignInOptions;

  constructor(options: ProxySignInOptions) {
    this.#options = options;
  }

  /** Whether there is a proxy that browsers may be sent to. */
  get isNeeded(): boolean {
    return this.#options.proxies().length > 0;
  }

  /**
   * On the main host: answers a navigation of a person who is logged in. Undefined: the address is at no proxy.
   * @returns Where to go on, with a ticket for the proxy or without one at the deployment itself; or why not.
   */
  async decide(
    visitor: Visitor,
    redirectUri: string,
    state: string,
  ): Promise<{ readonly location: string } | { readonly refused: AppAnswer } | undefined> {
    const destination = destinationOf(redirectUri);
    if (destination === undefined) return undefined;
    const { hostname, target, url } = destination;
    const places = this.#options.proxies().flatMap((proxy) => {
      const place = placeOf(proxy, hostname, target);
      return "error" in place || place.origin !== url.origin ? [] : [{ proxy, place }];
    });
    const [found, ...others] = places;
    // Two proxies at one address: which of them the ticket is for cannot be known.
    if (found === undefined || others.length > 0) return undefined;
    if (!isState(state)) return refused(400, "Invalid state", "Open the app again to start a new sign-in.");
    const { proxy, place } = found;
    const { accessUrl, apps, clock, terminals, tickets } = this.#options;
    const decided = await apps.decide(place.app, visitor);
    if (typeof decided === "string") return { refused: notFoundAnswer(accessUrl()) };
    // The proxy would get no token for this visitor.
    if (!(await terminals.holds(visitor.keyId, decided.found.agent.id))) {
      const location = ownPlace(place.app, target, this.#options);
      return location === undefined ? { refused: notFoundAnswer(accessUrl()) } : { location };
    }
    const ticket = tickets.issue(visitor, { proxyId: proxy.id, host: hostname }, state, clock.now());
    return { location: withTicket(`${place.origin}${target}`, ticket) };
  }

  /** For the proxy that the browser brought the ticket to. Undefined: it is not valid there, or was used before. */
  async redeem(
    proxy: WorkspaceProxyRow,
    { ticket, host, nonce }: Redemption,
  ): Promise<{ readonly id: string; readonly maxAgeSeconds: number } | undefined> {
    const { clock, tickets, visitors } = this.#options;
    const redeemed = tickets.redeem(ticket, { proxyId: proxy.id, host }, nonce, clock.now());
    if (redeemed === undefined) return undefined;
    return await visitors.begin(redeemed.holder, placeAt(proxy, host), redeemed.sessionId);
  }
}
