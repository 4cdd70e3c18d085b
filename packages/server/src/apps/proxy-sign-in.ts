/** How a browser with a login at the main host gets a session at a host of a workspace proxy. */
import type { WallClock } from "../base/clock.ts";
import { parseWildcard } from "../base/wildcard.ts";
import type { WorkspaceProxyRow } from "../db/schema.ts";
import { type AppChains, type ChainStop, chainId } from "./chains.ts";
import { companionStops } from "./companion-stops.ts";
import type { Visitor } from "./decision.ts";
import { parseAppLabel } from "./label.ts";
import { type OwnPlaceOptions, ownPlace } from "./own-place.ts";
import type { AppAnswer } from "./pages.ts";
import { pathAppsDisabled } from "./path-host.ts";
import { type ProxiedApps, type ProxiedPlace, placeOf } from "./proxied-apps.ts";
import type { AppResolver, ResolvedApp } from "./resolver.ts";
import type { SealedTickets } from "./sealed-tickets.ts";
import { destinationOf, notFoundAnswer, refused, withTicket } from "./sign-in.ts";
import type { PathAppSettings } from "./store-path-gate.ts";
import type { TerminalRights } from "./terminal-rights.ts";
import { isState } from "./tickets.ts";
import { placeAt, type Visitors } from "./visitors.ts";

/** A request target that may be appended to an origin. */
const TARGET = /^\/[\x21\x22\x24-\x7e]*$/;

export interface ProxySignInOptions extends OwnPlaceOptions {
  /** The proxies to which browsers may be sent. */
  readonly proxies: () => readonly WorkspaceProxyRow[];
  readonly apps: ProxiedApps;
  readonly terminals: Pick<TerminalRights, "holds">;
  readonly tickets: SealedTickets;
  readonly chains: AppChains;
  readonly resolver: Pick<AppResolver, "resolve">;
  readonly pathApps: Pick<PathAppSettings, "disabled">;
  readonly visitors: Pick<Visitors, "begin">;
  readonly clock: WallClock;
}

export interface Redemption {
  readonly ticket: string;
  readonly host: string;
  readonly nonce: string;
  /** The request target at which the browser continues, without the ticket. Absent if the proxy does not support chains. */
  readonly target?: string | undefined;
}

export interface ProxySession {
  readonly id: string;
  readonly maxAgeSeconds: number;
  /** Where the browser continues instead of at its target. */
  readonly next: string | undefined;
}

export class ProxySignIn {
  readonly #options: ProxySignInOptions;

  constructor(options: ProxySignInOptions) {
    this.#options = options;
  }

  /** Whether there is a proxy to which browsers may be sent. */
  get isNeeded(): boolean {
    return this.#options.proxies().length > 0;
  }

  /**
   * On the main host: answers a navigation of a logged-in person. Undefined if the address is at no proxy.
   * @returns Where to continue, with a ticket for the proxy or without one at the deployment itself; or the refusal.
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
    // With several proxies at one address, the ticket's recipient would be ambiguous.
    if (found === undefined || others.length > 0) return undefined;
    if (!isState(state)) return refused(400, "Invalid state", "Open the app again to start a new sign-in.");
    const { proxy, place } = found;
    const { accessUrl, apps, chains, clock, pathApps, terminals, tickets } = this.#options;
    if (place.app.method === "path" && pathApps.disabled) return { refused: pathAppsDisabled("deployment") };
    const chain = chainId(target);
    if (chain !== undefined && chains.next(chain, hostname, visitor.userId, clock.now()) === undefined)
      return refused(404, "Sign-In Ended", "Open the app again to start a new sign-in.");
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

  /** Redeems the ticket that a browser brought to a proxy. Undefined if it is not valid there or was used before. */
  async redeem(
    proxy: WorkspaceProxyRow,
    { ticket, host, nonce, target }: Redemption,
  ): Promise<ProxySession | undefined> {
    const { clock, tickets, visitors } = this.#options;
    const redeemed = tickets.redeem(ticket, { proxyId: proxy.id, host }, nonce, clock.now());
    const session = redeemed && (await visitors.begin(redeemed.holder, placeAt(proxy, host), redeemed.sessionId));
    if (session === undefined) return undefined;
    const next = target === undefined ? undefined : await this.#next(proxy, host, target, session.visitor);
    return { id: session.id, maxAgeSeconds: session.maxAgeSeconds, next };
  }

  /** Where a browser that has signed in at a host continues, if not at the page that it requested. */
  async #next(proxy: WorkspaceProxyRow, host: string, target: string, visitor: Visitor): Promise<string | undefined> {
    const { chains, clock } = this.#options;
    const now = clock.now();
    const chain = chainId(target);
    if (chain !== undefined) return chains.next(chain, host, visitor.userId, now);
    const place = placeOf(proxy, host, target);
    // The session of an app below a path already covers all apps on that host.
    if ("error" in place || place.app.method === "path" || !TARGET.test(target)) return undefined;
    return chains.begin(
      visitor.userId,
      await this.#stops(proxy, place, host, visitor),
      `${place.origin}${target}`,
      now,
    );
  }

  /** The hosts at the proxy of the apps declared beside this one, limited to those that the proxy may serve to the visitor. */
  async #stops(proxy: WorkspaceProxyRow, { app }: ProxiedPlace, host: string, visitor: Visitor): Promise<ChainStop[]> {
    const { apps, resolver, terminals } = this.#options;
    const label = app.method === "subdomain" ? parseAppLabel(app.label) : undefined;
    const wildcard = parseWildcard(proxy.wildcard_hostname);
    if (label === undefined || "error" in label || "error" in wildcard) return [];
    const admits = async (beside: ResolvedApp): Promise<boolean> =>
      apps.admits(beside, visitor) && (await terminals.holds(visitor.keyId, beside.agent.id));
    return await companionStops(label, host, { resolver, wildcard, accessUrl: new URL(proxy.url), admits });
  }
}
