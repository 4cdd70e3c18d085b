import type { IncomingMessage } from "node:http";
import { dashboardRequest } from "coder-protocol/rest/dashboard";
import type { AccessEvents } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import { type AuthenticatedUser, type Authenticator, decidedHolderOf } from "../../auth/authenticator.ts";
import { DomainError } from "../../base/domain-error.ts";
import type { Logger } from "../../base/log.ts";
import { RateLimit } from "../../base/rate-limit.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { CLOSE_POLICY, CLOSE_PROTOCOL_ERROR, type TextSocket, type TextSockets } from "../../base/text-sockets.ts";
import { Subscriptions } from "./subscriptions.ts";
import type { Topics } from "./topics.ts";

export const MAX_REQUEST_BYTES = 64 * 1024;
/** A browser with more unsent bytes than this is behind. */
const BEHIND_BYTES = 256 * 1024;
/** Subscribing costs queries, so this limits the requests of a socket: a burst, and as many again in each period. */
const REQUESTS = { capacity: 256, periodMs: 30_000 };

export interface DashboardStreamOptions {
  readonly authenticator: Authenticator;
  readonly access: AccessWatch;
  readonly accessEvents: AccessEvents;
  readonly sockets: TextSockets;
  readonly topics: Topics;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly now: () => number;
  readonly log: Logger;
}

/** GET /api/v2/dashboard/stream: everything that a browser shows live, over one WebSocket. */
export function dashboardStreamRoute(options: DashboardStreamOptions): UpgradeRoute {
  const { authenticator, sockets, clientAddress } = options;
  return {
    name: "dashboard-stream",
    match: (url) => url.pathname === "/api/v2/dashboard/stream",
    handle: async (request, socket, head) => {
      const auth = await authenticator.authenticateUser(request);
      if (auth instanceof DomainError) throw auth;
      const holder = { userId: auth.user.id, address: clientAddress(request) };
      const accepted = await sockets.accept(request, socket, head, holder);
      if (accepted !== undefined) serve(options, accepted, auth);
    },
  };
}

function serve(
  { access, accessEvents, topics, now, log }: DashboardStreamOptions,
  socket: TextSocket,
  auth: AuthenticatedUser,
): void {
  const holder = decidedHolderOf(auth);
  const requests = new RateLimit({ ...REQUESTS, maxKeys: 1 });
  const subscriptions: Subscriptions = new Subscriptions({
    holder,
    events: accessEvents,
    sink: {
      hasRoom: () => socket.unsentBytes < BEHIND_BYTES,
      send: (text) => socket.send(text, () => subscriptions.drained()),
    },
    open: (topic, args) => topics.open(auth, topic, args),
  });
  const leaveEvents = accessEvents.subscribe((event) => subscriptions.accessChanged(event));
  const leaveAccess = access.start(holder, {
    lost: () => {
      socket.send('{"type":"denied"}');
      socket.close(CLOSE_POLICY, "access ended");
    },
  });
  socket.onClose(() => {
    leaveEvents();
    leaveAccess();
    subscriptions.close();
  });
  socket.onMessage((text) => {
    const request = parse(text);
    if (request === undefined) return socket.close(CLOSE_PROTOCOL_ERROR, "not a request of this stream");
    if (requests.take("", now()) > 0) return socket.close(CLOSE_POLICY, "too many requests");
    if (request.op === "ping") socket.send('{"type":"pong"}');
    else if (request.op === "unsub") subscriptions.remove(request.id);
    else
      subscriptions.add(request.id, request.topic, request.args).catch((error: unknown) => {
        log.error({ err: error, topic: request.topic }, "a subscription of the dashboard failed");
        socket.send(
          JSON.stringify({ id: request.id, type: "error", status: 500, message: "The server failed to read this" }),
        );
      });
  });
}

function parse(text: string) {
  try {
    return dashboardRequest.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
