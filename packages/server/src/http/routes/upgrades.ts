import type { IncomingMessage } from "node:http";
import type { DecidedHolder } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import {
  type AuthenticatedUser,
  type AuthenticateOptions,
  type Authenticator,
  decidedHolderOf,
} from "../../auth/authenticator.ts";
import type { EchoTickets } from "../../auth/echo-tickets.ts";
import { DomainError, notFound } from "../../base/domain-error.ts";
import type { UpgradeRoute } from "../../base/routes.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, type TextSocket, type TextSockets } from "../../base/text-sockets.ts";
import type { Tables } from "../../db/store.ts";
import type { LogFollowers } from "../streams/follow-logs.ts";
import type { Watches } from "../streams/watch.ts";
import type { Watchables } from "../streams/watched.ts";
import { buildLogView } from "../views/workspaces.ts";
import { logsAfter } from "./logs-after.ts";
import { WorkspacePaths } from "./workspace-paths.ts";

const ID = "([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})";

/** Serves an authenticated user. Everything that may refuse the request must come before `accept`. */
type Serve = (request: {
  id: string;
  url: URL;
  auth: AuthenticatedUser;
  accept: () => Promise<TextSocket | undefined>;
}) => Promise<void>;

export interface RestUpgradeDeps {
  readonly authenticator: Authenticator;
  readonly tables: Pick<Tables, "workspaces" | "builds" | "agents">;
  readonly echoTickets: EchoTickets;
  readonly sockets: TextSockets;
  readonly watches: Watches;
  readonly watchables: Watchables;
  readonly logs: LogFollowers;
  readonly access: AccessWatch;
  readonly clientAddress: (request: IncomingMessage) => string;
}

/** WebSockets of the REST API: watching a workspace, following logs, the echo of the health check. */
export function restUpgradeRoutes(deps: RestUpgradeDeps): UpgradeRoute[] {
  const { authenticator, sockets, watches, watchables } = deps;
  const paths = new WorkspacePaths(deps.tables);
  const route = (name: string, pattern: string, options: AuthenticateOptions, serve: Serve): UpgradeRoute => {
    const path = new RegExp(`^/api/v2${pattern}$`);
    return {
      name,
      match: (url) => path.test(url.pathname),
      handle: async (request, socket, head) => {
        const url = new URL(request.url ?? "/", "http://unused");
        const auth = await authenticator.authenticateUser(request, options);
        if (auth instanceof DomainError) throw auth;
        const id = (path.exec(url.pathname)?.[1] ?? "").toLowerCase();
        const holder = { userId: auth.user.id, address: deps.clientAddress(request) };
        await serve({ id, url, auth, accept: () => sockets.accept(request, socket, head, holder) });
      },
    };
  };
  // Stock clients follow logs with a cookie and, since they are not browsers, without an Origin.
  const logs: AuthenticateOptions = { originOptional: true };

  return [
    route("watch-workspace", `/workspaces/${ID}/watch-ws`, {}, async ({ id, auth, accept }) => {
      if ((await authenticator.reachableWorkspace(auth.user, id)) === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined)
        watches.byWebSocket(socket, decidedHolderOf(auth, { workspaceId: id }), watchables.workspace(id));
    }),

    route("watch-metadata", `/workspaceagents/${ID}/watch-metadata-ws`, {}, async ({ id, auth, accept }) => {
      if ((await authenticator.canReachAgent(auth.user, id)) === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined)
        watches.byWebSocket(socket, decidedHolderOf(auth, { agentId: id }), watchables.metadata(id));
    }),

    route("follow-agent-logs", `/workspaceagents/${ID}/logs`, logs, async ({ id, url, auth, accept }) => {
      const after = logsAfter(url.searchParams.get("after"));
      if ((await authenticator.canReachAgent(auth.user, id)) === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined) await deps.logs.follow(socket, decidedHolderOf(auth, { agentId: id }), id, after);
    }),

    route("follow-build-logs", `/workspacebuilds/${ID}/logs`, logs, async ({ id, url, auth, accept }) => {
      const after = logsAfter(url.searchParams.get("after"));
      const found = await paths.visibleBuild(auth.user, id);
      if (found === undefined) throw notFound();
      const socket = await accept();
      const line = buildLogView(found.build);
      if (line.id > after) socket?.send(JSON.stringify(line));
      socket?.close(CLOSE_NORMAL, "");
    }),

    route("follow-dry-run-logs", `/templateversions/${ID}/dry-run/${ID}/logs`, logs, async ({ accept }) => {
      const socket = await accept();
      socket?.close(CLOSE_NORMAL, "");
    }),

    // This server sends no notifications, so the socket stays open and silent.
    route("watch-inbox", "/notifications/inbox/watch", {}, async ({ auth, accept }) => {
      const socket = await accept();
      if (socket !== undefined) endWithAccess(deps.access, socket, decidedHolderOf(auth, {}));
    }),

    echo(deps),
  ];
}

/** For a server's own health check, which has no login, and for owners. */
function echo({ authenticator, echoTickets, sockets, access, clientAddress }: RestUpgradeDeps): UpgradeRoute {
  return {
    name: "echo",
    match: (url) => url.pathname === "/api/v2/debug/ws",
    handle: async (request, socket, head) => {
      const address = clientAddress(request);
      if (echoTickets.isOurs(request)) {
        const accepted = await sockets.accept(request, socket, head, { address });
        accepted?.onMessage((text) => accepted.send(text));
        return;
      }
      const auth = await authenticator.authenticateUser(request);
      if (auth instanceof DomainError) throw auth;
      if (auth.user.role !== "owner") throw notFound();
      const accepted = await sockets.accept(request, socket, head, { userId: auth.user.id, address });
      if (accepted === undefined) return;
      endWithAccess(access, accepted, decidedHolderOf(auth, {}));
      accepted.onMessage((text) => accepted.send(text));
    },
  };
}

/** Closes the socket when the login that it depends on ends. */
function endWithAccess(access: AccessWatch, socket: TextSocket, holder: DecidedHolder): void {
  socket.onClose(access.start(holder, { lost: () => socket.close(CLOSE_POLICY, "access ended") }));
}
