/** Decides which clients may open a control connection and as which peer, and ends those that lose their right. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { isUuid } from "coder-protocol/addresses";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import { sessionIdOfBaggage } from "coder-protocol/session-id";
import { MISSING_TAILNET_VERSION } from "coder-protocol/version";
import { endsAccess } from "../auth/access-events.ts";
import { type AuthenticatedUser, type Authenticator, holderOf } from "../auth/authenticator.ts";
import type { OwnClient } from "../auth/own-client.ts";
import type { WallClock } from "../base/clock.ts";
import { DomainError, notFound } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import { Places } from "../base/places.ts";
import type { UpgradeRoute } from "../base/routes.ts";
import type { Lookups } from "../db/lookups.ts";
import type { ConnectionPolicies } from "../workspaces/connection-policies.ts";
import { checkAgain } from "./check-again.ts";
import type { ControlSockets } from "./control-sockets.ts";
import { ACCESS_REVOKED, type KnownClient, type OpenSocket } from "./open-socket.ts";
import { lookedUpClientAuth, ownClientAuth, type PeerAuth } from "./peer-auth.ts";
import type { PeerReports } from "./peer-reports.ts";
import { requireVersion } from "./require-version.ts";
import type { ResumeHolder, ResumeTokens } from "./resume-token.ts";
import type { SealedRights } from "./sealed-rights.ts";
import { tailnetService } from "./tailnet-service.ts";

/** Browser tabs that are peers of their own. */
const BROWSER_PEERS = { total: 4_096, perUser: 8 };

export interface ClientSessionsOptions {
  readonly sockets: ControlSockets;
  readonly resumeTokens: ResumeTokens;
  readonly rights: SealedRights;
  readonly reports: PeerReports;
  readonly authenticator: Authenticator;
  readonly ownClient: OwnClient;
  readonly connectionPolicies: ConnectionPolicies;
  readonly lookups: Pick<Lookups, "user">;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly clock: WallClock;
  readonly log: Pick<Logger, "error">;
}

export class ClientSessions {
  /** `/workspaceagents/{id}/coordinate` for one agent, `/tailnet` for all agents that the user may reach. */
  readonly routes: readonly UpgradeRoute[];
  readonly #options: ClientSessionsOptions;
  readonly #browserPlaces = new Places("tunnels of web pages", BROWSER_PEERS);

  constructor(options: ClientSessionsOptions) {
    this.#options = options;
    this.routes = [
      {
        name: "coordinate",
        upgradeOnly: true,
        match: ({ pathname }) => agentOfPath(pathname) !== undefined,
        handle: (...args) => this.#client(...args),
      },
      {
        name: "tailnet",
        upgradeOnly: true,
        match: ({ pathname }) => pathname === "/api/v2/tailnet",
        handle: (...args) => this.#client(...args),
      },
    ];
  }

  /** Serves the Tailnet service to a client that the caller has authenticated. @returns undefined if the handshake failed. */
  serveKnown(request: IncomingMessage, socket: Duplex, head: Buffer, client: KnownClient): OpenSocket | undefined {
    const { sockets, reports, clientAddress } = this.#options;
    const { id, auth, resume, places } = client;
    return sockets.serve(request, socket, head, {
      id,
      auth,
      userId: auth.holder,
      address: clientAddress(request),
      places,
      services: (deps) => [tailnetService({ id, auth, resume }, deps)],
      pingsSocket: true,
      onClosed: async (isLast) => void (isLast && reports.forget(id)),
    });
  }

  /** The peer id that a resume token names; undefined for a new peer. Throws DomainError "unauthenticated". */
  resumedPeer(url: URL, holder: ResumeHolder): string | undefined {
    const token = url.searchParams.get("resume_token");
    if (token === null || token === "") return undefined;
    const peer = this.#options.resumeTokens.verify(token, holder, this.#options.clock.now());
    if (peer === "ignored") return undefined;
    if (peer !== undefined) return peer;
    throw new DomainError("unauthenticated", "Invalid resume token", {
      validations: [{ field: "resume_token", detail: "the token is malformed, expired or of another login" }],
    });
  }

  async #client(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { sockets, authenticator, ownClient, connectionPolicies, log } = this.#options;
    sockets.throwRefusal();
    const url = new URL(request.url ?? "/", "http://server");
    const only = agentOfPath(url.pathname);
    if (only !== undefined && ownClient.isSender(request)) return this.#ownClient(request, socket, head, only);
    const identity = await authenticator.authenticateUser(request);
    if (identity instanceof DomainError) throw identity;
    const { user } = identity;
    const workspace =
      only !== undefined && isUuid(only) ? await authenticator.reachableWorkspaceOf(user, only) : undefined;
    if (only !== undefined && workspace === undefined) throw notFound();
    requireVersion(url, MISSING_TAILNET_VERSION);
    // The server's tunnels on behalf of this user's pages: their traffic comes from a browser.
    const forPages = ownClient.isMarked(request);
    const refusal =
      workspace === undefined || forPages ? undefined : await connectionPolicies.refusalAt(user, workspace);
    if (refusal !== undefined) throw refusal;
    const isBrowser = url.searchParams.get("client") === "browser";
    if (isBrowser) this.#browserPlaces.takeUntilClosed({ userId: user.id }, socket);
    const open = this.#serveUser(request, socket, head, { identity, url, only, forPages, isBrowser });
    // A revocation between the check and this line had no listener.
    if (open === undefined) return;
    await checkAgain(open, log, async () => {
      const held = await authenticator.held(holderOf(identity, { agentId: only }));
      if (held === undefined) return ACCESS_REVOKED;
      if (held.workspace === undefined || forPages) return undefined;
      const isRefused = (await connectionPolicies.refusalAt(held.user, held.workspace)) !== undefined;
      return isRefused ? NON_BROWSER_REFUSED : undefined;
    });
  }

  #serveUser(request: IncomingMessage, socket: Duplex, head: Buffer, client: UserClient): OpenSocket | undefined {
    const { sockets, reports, clientAddress } = this.#options;
    const { identity, url, only } = client;
    const { user } = identity;
    const resume: ResumeHolder = { kind: "client", ...holderOf(identity, { agentId: only }) };
    const id = this.resumedPeer(url, resume) ?? randomUUID();
    const auth = this.#authOf(client, id, sessionIdOfBaggage(request.headers["baggage"]?.toString()));
    const mayFollow = (ownerId: string): boolean => only === undefined && ownerId === user.id;
    return sockets.serve(request, socket, head, {
      id,
      auth,
      onlyAgent: only,
      userId: user.id,
      address: clientAddress(request),
      services: (deps) => [tailnetService({ id, auth, resume, mayFollow }, deps)],
      pingsSocket: true,
      onClosed: async (isLast) => void (isLast && reports.forget(id)),
    });
  }

  /** Rights are looked up at every request, because what a user may reach changes while the connection lasts. */
  #authOf({ identity, only, forPages, isBrowser }: UserClient, id: string, sessionId: string | undefined): PeerAuth {
    const { authenticator, connectionPolicies, rights, lookups } = this.#options;
    const { user } = identity;
    const holder = holderOf(identity, { agentId: only });
    return lookedUpClientAuth(
      async (agentId) => {
        if (only !== undefined && agentId !== only) return "denied";
        const current = await lookups.user(user.id);
        const workspace =
          current === undefined ? undefined : await authenticator.reachableWorkspaceOf(current, agentId);
        if (current === undefined || workspace === undefined) return "denied";
        if (forPages) return "allowed";
        return (await connectionPolicies.refusalAt(current, workspace)) === undefined ? "allowed" : "browsers-only";
      },
      {
        holder: `user ${user.id}`,
        userId: forPages ? undefined : user.id,
        endedBy: (event) => endsAccess(event, holder),
        sessionId,
        isBrowser,
        right: rights.seal(id, { kind: "user", ...holder, agentId: only, forPages }),
      },
    );
  }

  /** The server's own client for web apps: what it may dial is decided per request, by the visitor's right. */
  #ownClient(request: IncomingMessage, socket: Duplex, head: Buffer, agentId: string): void {
    const id = randomUUID();
    const auth = ownClientAuth(agentId, this.#options.rights.seal(id, { kind: "server", agentId }));
    const resume: ResumeHolder = { kind: "client", userId: auth.holder, keyId: auth.holder, agentId };
    const places = this.#options.sockets.clientPlaces;
    this.serveKnown(request, socket, head, { id, auth, resume, places });
  }
}

/** A client with a user's token. */
interface UserClient {
  readonly identity: AuthenticatedUser;
  readonly url: URL;
  /** The only agent that the client may reach; undefined: all that the user may. */
  readonly only: string | undefined;
  /** The server's own client, acting for pages of this user. */
  readonly forPages: boolean;
  readonly isBrowser: boolean;
}

function agentOfPath(pathname: string): string | undefined {
  return /^\/api\/v2\/workspaceagents\/([^/]+)\/coordinate$/.exec(pathname)?.[1];
}
