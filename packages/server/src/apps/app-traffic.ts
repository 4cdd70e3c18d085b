/** Admitted requests and WebSockets: how many the server carries at a time, how they reach the program, and when they end. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { DomainError } from "../base/domain-error.ts";
import type { Logger } from "../base/log.ts";
import type { PlaceHolder, Places } from "../base/places.ts";
import type { Relation } from "./cross-origin.ts";
import type { AppDecision } from "./decision.ts";
import { type ExchangeFacts, exchange } from "./exchange.ts";
import type { VisitorIdentity } from "./headers.ts";
import { workspacePage } from "./not-running.ts";
import type { OpenExchanges } from "./open-exchanges.ts";
import type { AppAnswer } from "./pages.ts";
import { isRefused, programFailure } from "./program-failure.ts";
import type { DialApp, ProgramPools } from "./program-pool.ts";
import type { ShownApp } from "./shown-app.ts";
import { passWebSocket } from "./web-socket.ts";

/** The right of one request to one program, and what is forwarded to it. */
export interface Admission {
  readonly decision: AppDecision;
  readonly app: ShownApp;
  readonly relation: Relation;
  /** The visitor's identity; undefined for anonymous visitors. It is forwarded only if the app asks for it. */
  readonly identity?: VisitorIdentity | undefined;
  /** Scheme, host and port as the client addressed them. */
  readonly origin: string;
  /** The request target to send to the program. */
  readonly target: string;
  /** Whether the app is below a path of the deployment's own host. */
  readonly onMainHost: boolean;
  /** When the credentials or the share expire, whichever is first; undefined if neither does. */
  readonly endsAt: number | undefined;
  /** Whether the same decision would be made now. */
  readonly stillHolds: () => Promise<boolean>;
}

export interface AppTrafficOptions {
  readonly accessUrl: () => URL;
  /** Scheme of the origins of apps; if absent, that of the access URL. */
  readonly scheme?: "http" | "https" | undefined;
  readonly exchanges: Pick<OpenExchanges, "add">;
  readonly pools: ProgramPools;
  readonly dial: DialApp;
  /** The ports on which programs in an agent's workspace listen. */
  readonly listeningPorts: (agentId: string) => Promise<readonly number[]>;
  readonly requests: Places;
  readonly webSockets: Places;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly log: Logger;
}

export class AppTraffic {
  readonly #options: AppTrafficOptions;

  constructor(options: AppTrafficOptions) {
    this.#options = options;
  }

  /** Resolves with an answer to send if the program gave none and the client is still there. */
  async request(
    request: IncomingMessage,
    response: ServerResponse,
    admission: Admission,
  ): Promise<AppAnswer | undefined> {
    if (response.destroyed) return undefined;
    try {
      this.#options.requests.takeUntilClosed(this.#holder(request, admission), response);
    } catch (error) {
      return busy(error);
    }
    const done = this.#track(admission, () => response.destroy());
    try {
      await exchange(request, response, this.#options.pools, this.#exchangeFacts(request, admission));
      return undefined;
    } catch (error) {
      if (response.destroyed) return undefined;
      return await this.#failed(error, request, admission);
    } finally {
      done();
    }
  }

  /** Resolves with an answer to send if no WebSocket was opened and the client is still there. */
  async upgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    admission: Admission,
  ): Promise<AppAnswer | undefined> {
    if (socket.destroyed) return undefined;
    try {
      this.#options.webSockets.takeUntilClosed(this.#holder(request, admission), socket);
    } catch (error) {
      return busy(error);
    }
    const done = this.#track(admission, () => socket.destroy());
    try {
      const facts = this.#exchangeFacts(request, admission);
      await passWebSocket(request, socket, head, this.#options.dial, this.#options.pools, facts);
      return undefined;
    } catch (error) {
      return await this.#failed(error, request, admission);
    } finally {
      done();
    }
  }

  async #failed(error: unknown, request: IncomingMessage, admission: Admission): Promise<AppAnswer> {
    // There is no room for another tunnel.
    if (error instanceof DomainError) return busy(error);
    const { app, decision, origin } = admission;
    this.#options.log.debug({ err: error, agent: app.agent.id, port: app.target.port }, "an app did not answer");
    const owns = decision.visitor?.userId === app.owner.id;
    const forOwner = owns
      ? {
          workspacePage: workspacePage(app, this.#options.accessUrl()),
          listening: isRefused(error) ? await this.#options.listeningPorts(app.agent.id) : [],
        }
      : undefined;
    return programFailure(error, { target: app.target, origin, path: request.url ?? "/", forOwner });
  }

  #track({ decision, endsAt, stillHolds }: Admission, end: () => void): () => void {
    return this.#options.exchanges.add({ decision, endsAt, end, stillHolds });
  }

  #exchangeFacts(
    request: IncomingMessage,
    { decision, identity, relation, target, onMainHost }: Admission,
  ): ExchangeFacts {
    return {
      decision,
      onMainHost,
      target,
      scheme: this.#options.scheme ?? (this.#options.accessUrl().protocol === "https:" ? "https" : "http"),
      host: request.headers.host ?? "",
      clientAddress: this.#options.clientAddress(request),
      relation,
      identity: decision.target.identityHeaders ? identity : undefined,
    };
  }

  #holder(request: IncomingMessage, { decision }: Admission): PlaceHolder {
    const { visitor, target } = decision;
    const { workspaceId } = target;
    return visitor === undefined
      ? { address: this.#options.clientAddress(request), workspaceId }
      : { userId: visitor.userId, workspaceId };
  }
}

/** Throws what is no refusal of a place. */
function busy(refusal: unknown): AppAnswer {
  if (!(refusal instanceof DomainError)) throw refusal;
  return {
    status: 503,
    title: "Busy",
    text: `${refusal.message} Try again in a moment.`,
    headers: { "Retry-After": "5" },
  };
}
