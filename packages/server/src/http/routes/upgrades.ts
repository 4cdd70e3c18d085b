import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type AccessHolder, endsAccess } from "../../auth/access-events.ts";
import { type AuthenticatedUser, type AuthenticateOptions, holderOf } from "../../auth/authenticator.ts";
import { HttpFailure, notFound } from "../../base/errors.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, type TextSocket, type TextSockets } from "../../base/text-sockets.ts";
import type { RouteContext, UpgradeRoute } from "../context.ts";
import { rejectUpgrade } from "../reply.ts";
import { followAgentLogs } from "../streams/follow-logs.ts";
import { watchByWebSocket, watchedMetadata, watchedWorkspace } from "../streams/watch.ts";
import { buildLogView } from "../views.ts";
import { logsAfter } from "./agents.ts";
import { visibleBuild } from "./workspaces.ts";

const ID = "([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})";

/** What a route does once it knows who asks: everything that can refuse happens before `accept`. */
type Serve = (request: {
  id: string;
  url: URL;
  auth: AuthenticatedUser;
  accept: () => Promise<TextSocket | undefined>;
}) => Promise<void>;

/** WebSockets of the REST surface: watching a workspace, following logs, the echo of the health check. */
export function restUpgradeRoutes(context: RouteContext, sockets: TextSockets): UpgradeRoute[] {
  const route = (name: string, pattern: string, options: AuthenticateOptions, serve: Serve): UpgradeRoute => {
    const path = new RegExp(`^/api/v2${pattern}$`);
    return {
      name,
      match: (url) => path.test(url.pathname),
      handle: async (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        const url = new URL(request.url ?? "/", "http://unused");
        try {
          const auth = await context.authenticator.authenticateUser(request, options);
          if (auth instanceof HttpFailure) throw auth;
          const id = (path.exec(url.pathname)?.[1] ?? "").toLowerCase();
          await serve({
            id,
            url,
            auth,
            accept: () =>
              sockets.accept(request, socket, head, {
                userId: auth.user.id,
                address: context.clientAddress(request),
              }),
          });
        } catch (error) {
          if (!(error instanceof HttpFailure)) throw error;
          rejectUpgrade(socket, error);
        }
      },
    };
  };
  // Stock clients follow logs with a cookie and, not being browsers, without an Origin.
  const logs: AuthenticateOptions = { originOptional: true };

  return [
    route("watch-workspace", `/workspaces/${ID}/watch-ws`, {}, async ({ id, auth, accept }) => {
      const workspace = await context.authenticator.reachableWorkspace(auth.user, id);
      if (workspace === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined)
        watchByWebSocket(context, socket, holderOf(auth, { workspaceId: id }), watchedWorkspace(context, id));
    }),

    route("watch-metadata", `/workspaceagents/${ID}/watch-metadata-ws`, {}, async ({ id, auth, accept }) => {
      if ((await context.authenticator.canReachAgent(auth.user, id)) === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined) {
        watchByWebSocket(context, socket, holderOf(auth, { agentId: id }), watchedMetadata(context, id));
      }
    }),

    route("follow-agent-logs", `/workspaceagents/${ID}/logs`, logs, async ({ id, url, auth, accept }) => {
      const after = logsAfter(url.searchParams.get("after"));
      if ((await context.authenticator.canReachAgent(auth.user, id)) === undefined) throw notFound();
      const socket = await accept();
      if (socket !== undefined) await followAgentLogs(context, socket, holderOf(auth, { agentId: id }), id, after);
    }),

    route("follow-build-logs", `/workspacebuilds/${ID}/logs`, logs, async ({ id, url, auth, accept }) => {
      const after = logsAfter(url.searchParams.get("after"));
      const found = await visibleBuild(context, auth.user, id);
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

    // Nobody is notified of anything here: the socket stays open and silent.
    route("watch-inbox", "/notifications/inbox/watch", {}, async ({ auth, accept }) => {
      const socket = await accept();
      if (socket !== undefined) endWithAccess(context, socket, holderOf(auth, {}));
    }),

    route("echo", "/debug/ws", {}, async ({ auth, accept }) => {
      if (auth.user.role !== "owner") throw notFound();
      const socket = await accept();
      if (socket === undefined) return;
      endWithAccess(context, socket, holderOf(auth, {}));
      socket.onMessage((text) => socket.send(text));
    }),
  ];
}

/** Closes the socket when the login that it rests on ends. */
function endWithAccess(context: RouteContext, socket: TextSocket, holder: AccessHolder): void {
  const leave = context.accessEvents.subscribe((event) => {
    if (endsAccess(event, holder)) socket.close(CLOSE_POLICY, "access ended");
  });
  socket.onClose(leave);
}
