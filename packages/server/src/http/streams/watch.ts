import type { IncomingMessage, ServerResponse } from "node:http";
import { formatServerSentEvent, type ServerSentEvent } from "coder-protocol/rest/events";
import type { DecidedHolder } from "../../auth/access-events.ts";
import type { AccessWatch } from "../../auth/access-watch.ts";
import type { Logger } from "../../base/log.ts";
import { CLOSE_NORMAL, CLOSE_POLICY, CLOSE_PROTOCOL_ERROR, type TextSocket } from "../../base/text-sockets.ts";
import type { Changes } from "../../workspaces/changes.ts";
import type { EventStreams } from "./event-streams.ts";
import type { Watched } from "./watched.ts";

/** Unsent bytes at which a watcher that does not read is disconnected. */
const MAX_BUFFERED_BYTES = 1024 * 1024;

/** The destination of events; only this differs between SSE and WebSocket. */
interface EventSink {
  send(event: ServerSentEvent): void;
  /** Keeps the connection alive. Absent if the transport does so itself. */
  ping?(): void;
  /** `denied`: access has ended. */
  close(denied: boolean): void;
  onClose(listener: () => void): void;
}

export interface WatchesOptions {
  readonly changes: Changes;
  readonly access: AccessWatch;
  readonly eventStreams: EventStreams;
  readonly clientAddress: (request: IncomingMessage) => string;
  readonly log: Logger;
}

/** Sends the watched data now and after each change, until the watcher leaves, loses access or has received the last state. */
export class Watches {
  readonly #options: WatchesOptions;

  constructor(options: WatchesOptions) {
    this.#options = options;
  }

  /** Throws DomainError if there are too many event streams. */
  bySse(response: ServerResponse, holder: DecidedHolder, watched: Watched): void {
    const { eventStreams, clientAddress } = this.#options;
    if (!eventStreams.begin(response, { userId: holder.userId, address: clientAddress(response.req) })) return;
    const send = (event: ServerSentEvent): void => {
      if (response.writableLength > MAX_BUFFERED_BYTES) response.destroy();
      else response.write(formatServerSentEvent(event));
    };
    this.#watch(holder, watched, {
      send,
      ping: () => send({ type: "ping" }),
      close: () => void response.end(),
      onClose: (listener) => void response.once("close", listener),
    });
  }

  byWebSocket(socket: TextSocket, holder: DecidedHolder, watched: Watched): void {
    socket.onMessage(() => socket.close(CLOSE_PROTOCOL_ERROR, "nothing may be sent here"));
    this.#watch(holder, watched, {
      send: (event) => socket.send(JSON.stringify(event)),
      close: (denied) => (denied ? socket.close(CLOSE_POLICY, "access ended") : socket.close(CLOSE_NORMAL, "")),
      onClose: (listener) => socket.onClose(listener),
    });
  }

  /**
   * Changes that arrive while one is being read are combined, so there is no queue. The status may also change with time alone.
   */
  #watch(holder: DecidedHolder, watched: Watched, sink: EventSink): void {
    const { changes, access, log } = this.#options;
    let running = false;
    let dirty = false;
    let ended = false;
    let last = "";

    const refresh = async (): Promise<void> => {
      const current = await watched.read();
      if (current === undefined || ended) return;
      const text = JSON.stringify(current.data);
      if (text !== last) sink.send({ type: "data", data: current.data });
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
          log.error({ err: error, watched: watched.name }, "watching failed");
          sink.send({ type: "error", data: { message: `Internal error fetching ${watched.name}.` } });
          end(false);
        } finally {
          running = false;
        }
      })();
    };
    const { repeatMs } = watched;
    const repeating =
      repeatMs === undefined
        ? undefined
        : setInterval(() => {
            last = "";
            trigger();
          }, repeatMs).unref();
    const leaveChanges = changes.subscribe(watched.topic, trigger);
    const leaveAccess = access.start(holder, {
      lost: () => end(true),
      held: () => {
        sink.ping?.();
        trigger();
      },
      // The next refresh shows the deletion and then ends the watch.
      ignores: (event) => watched.showsDeletion && event.kind === "workspace-deleted",
    });
    const stop = (): void => {
      ended = true;
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
}
