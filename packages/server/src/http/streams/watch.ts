import type { ServerResponse } from "node:http";
import { formatServerSentEvent, type ServerSentEvent } from "coder-protocol/rest/events";
import { type AccessHolder, endsAccess } from "../../auth/access-events.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, CLOSE_PROTOCOL_ERROR, type TextSocket } from "../../base/text-sockets.ts";
import type { RouteContext } from "../context.ts";
import { agentMetadataView, workspaceView } from "../views.ts";

/** Unsent bytes after which a watcher that does not read is cut off. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** Where events go; SSE and WebSocket differ only here. */
interface EventSink {
  send(event: ServerSentEvent): void;
  /** Keeps the connection alive. Absent where the transport does that by itself. */
  ping?(): void;
  /** `denied`: access was taken away. */
  close(denied: boolean): void;
  onClose(listener: () => void): void;
}

/** What is watched: read again after every change of the topic. */
interface Watched {
  /** Of `Changes`. */
  readonly topic: string;
  /** For the log and the error event. */
  readonly name: string;
  /** `last`: nothing will follow. Undefined: it is gone. */
  readonly read: () => Promise<{ readonly data: unknown; readonly last: boolean } | undefined>;
  /** A deleted workspace is shown once more, as deleted, and not cut off before. */
  readonly showsDeletion: boolean;
  /** Whether a ping event comes before the first data. */
  readonly pingsFirst: boolean;
  /** Data is sent again after this long, also when it is the same: it tells its own age. */
  readonly repeatMs?: number;
}

export function watchedWorkspace(context: RouteContext, workspaceId: string): Watched {
  return {
    topic: `workspace:${workspaceId}`,
    name: "workspace",
    showsDeletion: true,
    pingsFirst: true,
    read: async () => {
      const workspace = await context.store.workspaces.byId(workspaceId);
      if (workspace === undefined) return undefined;
      return { data: await workspaceView(context, workspace), last: workspace.deleted_at !== null };
    },
  };
}

export function watchedMetadata(context: RouteContext, agentId: string): Watched {
  return {
    topic: `agent-metadata:${agentId}`,
    name: "agent metadata",
    showsDeletion: false,
    pingsFirst: false,
    repeatMs: context.limits.repeatMetadataMs,
    read: async () => {
      const now = context.clock.now();
      const rows = await context.store.agentScripts.metadata(agentId);
      return { data: rows.map((row) => agentMetadataView(row, now)), last: false };
    },
  };
}

export function watchBySse(
  context: RouteContext,
  response: ServerResponse,
  holder: AccessHolder,
  watched: Watched,
): void {
  context.eventStreams.begin(response, { userId: holder.userId, address: context.clientAddress(response.req) });
  const send = (event: ServerSentEvent): void => {
    if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy();
    else response.write(formatServerSentEvent(event));
  };
  watch(context, holder, watched, {
    send,
    ping: () => send({ type: "ping" }),
    close: () => void response.end(),
    onClose: (listener) => void response.once("close", listener),
  });
}

export function watchByWebSocket(
  context: RouteContext,
  socket: TextSocket,
  holder: AccessHolder,
  watched: Watched,
): void {
  socket.onMessage(() => socket.close(CLOSE_PROTOCOL_ERROR, "nothing may be sent here"));
  watch(context, holder, watched, {
    send: (event) => socket.send(JSON.stringify(event)),
    close: (denied) => (denied ? socket.close(CLOSE_POLICY, "access ended") : socket.close(CLOSE_NORMAL, "")),
    onClose: (listener) => socket.onClose(listener),
  });
}

/**
 * Sends what is watched now and after each change. Changes that arrive while one is being read count as one, so there
 * is no queue. From time to time it looks whether access still holds and whether time alone changed the status.
 */
function watch(context: RouteContext, holder: AccessHolder, watched: Watched, sink: EventSink): void {
  let running = false;
  let dirty = false;
  let ended = false;
  let last = "";

  const refresh = async (): Promise<void> => {
    const current = await watched.read();
    if (current === undefined || ended) return;
    const text = JSON.stringify(current.data);
    if (text !== last && !ended) sink.send({ type: "data", data: current.data });
    last = text;
    if (current.last) end(false);
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
        context.log.error({ err: error, watched: watched.name }, "watching failed");
        sink.send({ type: "error", data: { message: `Internal error fetching ${watched.name}.` } });
        end(false);
      } finally {
        running = false;
      }
    })();
  };
  const tick = async (): Promise<void> => {
    if (!(await context.authenticator.stillHolds(holder))) return end(true);
    if (ended) return;
    sink.ping?.();
    trigger();
  };
  const timer = setInterval(() => {
    tick().catch((error: unknown) => {
      context.log.error({ err: error, watched: watched.name }, "watching failed");
      end(false);
    });
  }, context.limits.recheckMs);
  timer.unref();
  const repeating =
    watched.repeatMs === undefined
      ? undefined
      : setInterval(() => {
          last = "";
          trigger();
        }, watched.repeatMs).unref();

  const leaveChanges = context.changes.subscribe(watched.topic, trigger);
  const leaveAccess = context.accessEvents.subscribe((event) => {
    if (watched.showsDeletion && event.kind === "workspace-deleted") return; // refresh then ends the watch
    if (endsAccess(event, holder)) end(true);
  });
  const stop = (): void => {
    ended = true;
    clearInterval(timer);
    clearInterval(repeating);
    leaveChanges();
    leaveAccess();
  };
  const end = (denied: boolean): void => {
    if (ended) return;
    stop();
    sink.close(denied);
  };
  sink.onClose(stop);
  if (watched.pingsFirst) sink.send({ type: "ping" });
  trigger();
}
