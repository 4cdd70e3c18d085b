/** What a part of the server serves on the listeners in addition to the REST API. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** A WebSocket or another upgrade. Routes are asked in order; the first match handles the request. */
export interface UpgradeRoute {
  /** Fixed text for logs and metrics. */
  readonly name: string;
  /**
   * Upgrade protocols that the route supports, in lower case; ["websocket"] if absent. A request for any other is answered
   * without an upgrade.
   */
  readonly protocols?: readonly string[];
  /** `url` has the path and query; its host is meaningless. */
  match(url: URL): boolean;
  /**
   * Takes ownership of the socket, unless it throws a DomainError, which refuses the upgrade; that is possible until the
   * handshake is answered. Any other error is logged and the socket destroyed. Host has been checked; authentication and Origin
   * have not.
   */
  handle(request: IncomingMessage, socket: Duplex, head: Buffer): void | Promise<void>;
  /** Nothing else is served at these paths: a plain request has lost its Upgrade header on the way and is answered with 426. */
  readonly upgradeOnly?: boolean;
}

/** A plain request that is answered outside the REST router, such as a relay's latency probe. */
export interface RequestRoute {
  readonly name: string;
  /** Methods whose bodies may take any time. The route checks their progress and answers `Expect: 100-continue`. */
  readonly slowBodies?: readonly string[];
  match(url: URL, method: string): boolean;
  handle(request: IncomingMessage, response: ServerResponse): void | Promise<void>;
}
