/** The browser's terminal: GET /workspaceagents/{id}/pty as a WebSocket, authenticated by a user's login. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { AccessWatch } from "../../auth/access-watch.ts";
import { type Authenticator, decidedHolderOf } from "../../auth/authenticator.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import { type PlaceLimits, Places } from "../../base/places.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import type { ConnectionPolicies } from "../../workspaces/connection-policies.ts";
import { readPtyQuery } from "./pty-query.ts";
import { TerminalOwners } from "./terminal-owners.ts";
import { TERMINAL_PATH, TerminalSockets, type TerminalSocketsOptions } from "./terminal-sockets.ts";

export interface BrowserTerminalsOptions extends TerminalSocketsOptions {
  readonly authenticator: Authenticator;
  readonly access: AccessWatch;
  readonly connectionPolicies: Pick<ConnectionPolicies, "terminalRefusal">;
  readonly limits: PlaceLimits;
  readonly clientAddress: (request: IncomingMessage) => string;
}

export class BrowserTerminals {
  readonly #options: BrowserTerminalsOptions;
  readonly #places: Places;
  readonly #owners = new TerminalOwners();
  readonly #sockets: TerminalSockets;

  constructor(options: BrowserTerminalsOptions) {
    this.#options = options;
    this.#places = new Places("terminals", options.limits);
    this.#sockets = new TerminalSockets(options);
  }

  get route(): UpgradeRoute {
    return {
      name: "terminal",
      match: (url) => TERMINAL_PATH.test(url.pathname),
      handle: (request, socket, head) => this.#handle(request, socket, head),
    };
  }

  async #handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { access, authenticator, clientAddress } = this.#options;
    const auth = await authenticator.authenticateUser(request);
    if (auth instanceof DomainError) throw auth;
    const url = new URL(request.url ?? "/", "http://unused");
    const agentId = (TERMINAL_PATH.exec(url.pathname)?.[1] ?? "").toLowerCase();
    const agent = await authenticator.canReachAgent(auth.user, agentId);
    if (agent === undefined) throw notFound();
    const refusal = await this.#options.connectionPolicies.terminalRefusal(agent);
    if (refusal !== undefined) throw refusal;
    const query = readPtyQuery(url.searchParams);
    const claim = this.#owners.claim(agentId, query.id, auth.user.id);
    if (claim === "other") throw new DomainError("forbidden", "This terminal belongs to another user");
    const workspaceId = agent.workspace_id;
    this.#places.takeUntilClosed({ userId: auth.user.id, address: clientAddress(request), workspaceId }, socket);
    this.#sockets.open(request, socket, head, {
      query,
      user: auth.user,
      request: { agentId, keyId: auth.key.id, token: auth.token, userId: auth.user.id },
      fresh: claim === "new",
      watch: (end) => access.start(decidedHolderOf(auth, { agentId }), { lost: () => end("access ended") }),
    });
  }
}
