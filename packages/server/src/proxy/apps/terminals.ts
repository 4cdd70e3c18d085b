/**
 * Browser terminals through this proxy: GET /workspaceagents/{id}/pty as a WebSocket, with the token that the primary issued for
 * it. The token is in the URL, because a page cannot set headers of a WebSocket; it is valid for a minute.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { SIGNED_APP_TOKEN_PARAMETER } from "coder-protocol/rest/proxy-apps";
import { APP_TUNNEL_KEY } from "../../apps/app-dialer.ts";
import type { AppTokenClaims } from "../../base/app-token.ts";
import { DomainError } from "../../base/domain-error.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { readPtyQuery } from "../../http/terminals/pty-query.ts";
import { TerminalOwners } from "../../http/terminals/terminal-owners.ts";
import { TERMINAL_PATH, TerminalSockets, type TerminalSocketsOptions } from "../../http/terminals/terminal-sockets.ts";
import type { AppTokenVerdict } from "./app-keys.ts";
import type { AppTokens } from "./app-tokens.ts";
import type { UsedApp } from "./app-uses.ts";
import { ASK_EVERY_MS, type OpenRights, type RightAnswer } from "./open-rights.ts";

/** A page opens its terminal at once. The holder of an older token may have found it in a URL, and its login may have ended. */
const FRESH_TOKEN_MS = 5_000;
/** Errors of the proxy's own connection to the primary may contain an internal address, so only the log has them. */
const NO_CONNECTION =
  "the workspace proxy has no connection to the workspace; open the terminal again, or at the deployment itself";
/** Limits the checks that would otherwise wait for a primary that does not answer; with known keys a token takes no time. */
const CHECKS: PlaceLimits = { total: 256, perAddress: 32 };
const NEXT_STEP = "Open the terminal again from the dashboard: it asks for a new token.";

export interface ProxyTerminalsOptions extends TerminalSocketsOptions {
  readonly tokens: Pick<AppTokens, "verify" | "issue">;
  readonly rights: Pick<OpenRights, "add">;
  /** Called when a terminal is opened. Returns a function to call when it is closed. */
  readonly onUse: (app: UsedApp) => () => void;
  /** Origins of the pages that may open terminals. */
  readonly origins: () => ReadonlySet<string>;
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
  /** The time of day in milliseconds. */
  readonly now: () => number;
}

export class ProxyTerminals {
  readonly #options: ProxyTerminalsOptions;
  readonly #places: Places;
  /** Limits the upgrades whose token is being checked. */
  readonly #checks = new Places("terminals whose token is being checked", CHECKS);
  readonly #owners = new TerminalOwners();
  readonly #sockets: TerminalSockets;

  constructor(options: ProxyTerminalsOptions) {
    this.#options = options;
    this.#places = new Places("terminals", options.limits);
    this.#sockets = new TerminalSockets({ ...options, reasonOf: () => NO_CONNECTION });
  }

  get route(): UpgradeRoute {
    return {
      name: "terminal",
      upgradeOnly: true,
      match: (url) => TERMINAL_PATH.test(url.pathname),
      handle: (request, socket, head) => this.#handle(request, socket, head),
    };
  }

  async #handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { origin } = request.headers;
    // Programs send no Origin.
    if (origin !== undefined && !this.#options.origins().has(origin))
      throw new DomainError("forbidden", "Pages of this origin may not open terminals", {
        detail: "Only the dashboard of the deployment may.",
      });
    const url = new URL(request.url ?? "/", "http://unused");
    const agentId = (TERMINAL_PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
    const address = this.#options.clientAddress(request);
    const claims = await this.#claims(url.searchParams.get(SIGNED_APP_TOKEN_PARAMETER), address);
    const { visitor } = claims.grant;
    if (claims.access_method !== "terminal" || claims.agent_id !== agentId || visitor === undefined)
      throw new DomainError("forbidden", "The token is not for this terminal", { detail: NEXT_STEP });
    const query = readPtyQuery(url.searchParams);
    const claim = this.#owners.claim(agentId, query.id, visitor.id);
    if (claim === "other") throw new DomainError("forbidden", "This terminal belongs to another user");
    const workspaceId = claims.grant.workspace.id;
    this.#places.takeUntilClosed({ userId: visitor.id, address, workspaceId }, socket);
    if (socket.destroyed) return;
    const ageMs = this.#options.now() - claims.iat * 1_000;
    this.#sockets.open(request, socket, head, {
      query,
      user: { id: visitor.id, username: visitor.username },
      request: { agentId, keyId: APP_TUNNEL_KEY, token: "" },
      fresh: claim === "new",
      watch: (end) => {
        const over = this.#options.rights.add({
          agentId,
          endsAt: claims.grant.ends_at,
          askAfterMs: ageMs > FRESH_TOKEN_MS ? 0 : ASK_EVERY_MS - ageMs,
          decidedAfter: undefined, // by the primary's clock: a page brought the token
          question: claims.jti,
          ask: () => this.#askAgain(claims),
          end,
        });
        const workspaceId = claims.grant.workspace.id;
        const used = { userId: visitor.id, workspaceId, agentId, method: "terminal", slugOrPort: "" } as const;
        const unused = this.#options.onUse(used);
        return () => {
          over();
          unused();
        };
      },
    });
  }

  async #claims(token: string | null, address: string): Promise<AppTokenClaims> {
    if (token === null)
      throw new DomainError("unauthenticated", "A terminal at a workspace proxy needs a token of the deployment", {
        detail: NEXT_STEP,
      });
    const verdict = await this.#verdict(token, address);
    if ("claims" in verdict) return verdict.claims;
    if ("unknown" in verdict)
      throw new DomainError("unavailable", "The deployment could not be asked", {
        detail: `${verdict.unknown}. Try again in a moment, or open the terminal at the deployment itself.`,
        retryAfterSeconds: 5,
      });
    throw new DomainError("unauthenticated", `The token of the terminal does not count (${verdict.refused})`, {
      detail: NEXT_STEP,
    });
  }

  /** A token of an unknown key causes a request for keys, and a stranger can send any number of such tokens. */
  async #verdict(token: string, address: string): Promise<AppTokenVerdict> {
    const done = this.#checks.take({ address });
    try {
      return await this.#options.tokens.verify(token);
    } finally {
      done();
    }
  }

  /** The token's id stands for the login to which it was issued. */
  async #askAgain({ agent_id, jti }: AppTokenClaims): Promise<RightAnswer> {
    const issued = await this.#options.tokens.issue({
      app_request: { access_method: "terminal", agent_name_or_id: agent_id },
      session_token: jti,
    });
    if ("claims" in issued) return { holds: true, endsAt: issued.claims.grant.ends_at };
    return "refused" in issued ? { holds: false, reason: "access ended" } : "unknown";
  }
}
