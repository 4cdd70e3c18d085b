import type { ServerResponse } from "node:http";
import { formatServerSentEvent, type ServerSentEvent } from "coder-protocol/rest/events";
import { type AccessHolder, endsAccess } from "../auth/access-events.ts";
import type { RouteContext } from "./context.ts";
import { workspaceView } from "./views.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, CLOSE_PROTOCOL_ERROR, type TextSocket } from "./websocket.ts";

/** Unsent bytes after which a watcher that does not read is cut off. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** Where events go; SSE and WebSocket differ only here. */
interface EventSink {
  send(event: ServerSentEvent): void;
  /** `denied`: access was taken away. */
  close(denied: boolean): void;
  onClose(listener: () => void): void;
}

export function watchBySse(
  context: RouteContext,
  response: ServerResponse,
  holder: AccessHolder,
  workspaceId: string,
): void {
  response.writeHead(200, {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache",
    Connection: "keep-alive",
    "X-Accel-Buffering": "no",
  });
  watch(context, holder, workspaceId, {
    send: (event) => {
      if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy();
      else response.write(formatServerSentEvent(event));
    },
    close: () => void response.end(),
    onClose: (listener) => void response.once("close", listener),
  });
}

export function watchByWebSocket(
  context: RouteContext,
  socket: TextSocket,
  holder: AccessHolder,
  workspaceId: string,
): void {
  socket.onMessage(() => socket.close(CLOSE_PROTOCOL_ERROR, "nothing may be sent here"));
  watch(context, holder, workspaceId, {
    send: (event) => socket.send(JSON.stringify(event)),
    close: (denied) => (denied ? socket.close(CLOSE_POLICY, "access ended") : socket.close(CLOSE_NORMAL, "")),
    onClose: (listener) => socket.onClose(listener),
  });
}

/**
 * Sends the workspace now and after each change. Changes that arrive while one is being read count as one, so there
 * is no queue. Every ping also looks whether access still holds and whether time alone changed the status.
 */
function watch(context: RouteContext, holder: AccessHolder, workspaceId: string, sink: EventSink): void {
  let running = false;
  let dirty = false;
  let ended = false;
  let last = "";

  const refresh = async (): Promise<void> => {
    const workspace = await context.store.workspaces.byId(workspaceId);
    if (workspace === undefined || ended) return;
    const view = await workspaceView(context, workspace);
    const text = JSON.stringify(view);
    if (text !== last && !ended) sink.send({ type: "data", data: view });
    last = text;
    if (workspace.deleted_at !== null) end(false);
  };
  const trigger = (): void => {
    dirty = true;
    if (running || ended) return;
    running = true;
    void (async () => {
      try {
        while (dirty && !ended) {
          dirty = false;
          await refresh();
        }
      } catch (error) {
        context.log.error({ err: error }, "watching a workspace failed");
        sink.send({ type: "error", data: { message: "Internal error fetching workspace." } });
        end(false);
      } finally {
        running = false;
      }
    })();
  };
  const tick = async (): Promise<void> => {
    if (!(await context.authenticator.stillHolds(holder))) return end(true);
    if (ended) return;
    sink.send({ type: "ping" });
    trigger();
  };
  const timer = setInterval(() => {
    tick().catch((error: unknown) => {
      context.log.error({ err: error }, "watching a workspace failed");
      end(false);
    });
  }, context.limits.recheckMs);
  timer.unref();

  const leaveChanges = context.changes.subscribe(`workspace:${workspaceId}`, trigger);
  const leaveAccess = context.accessEvents.subscribe((event) => {
    // A deleted workspace is shown once more, as deleted; refresh then ends the watch.
    if (event.kind !== "workspace-deleted" && endsAccess(event, holder)) end(true);
  });
  const stop = (): void => {
    ended = true;
    clearInterval(timer);
    leaveChanges();
    leaveAccess();
  };
  const end = (denied: boolean): void => {
    if (ended) return;
    stop();
    sink.close(denied);
  };
  sink.onClose(stop);
  sink.send({ type: "ping" });
  trigger();
}
