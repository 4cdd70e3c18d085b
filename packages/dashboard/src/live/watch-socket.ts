/** A WebSocket that is opened again whenever it is lost, until its owner is gone. */
import { signal } from "@preact/signals";
import { socketUrl } from "../api/socket-url.ts";
import { Backoff } from "../base/backoff.ts";

/** Sockets that are lost right now: while there is one, the page shows what was true before. */
export const lostSockets = signal(0);

const CLOSE_POLICY = 1008;
const CLOSE_NORMAL = 1000;

export interface WatchedSocket {
  /** Below /api/v2; asked for each attempt. */
  path(): string;
  message(text: string): void;
  /** It is open again after a loss: what was sent in between is lost. */
  reopened?(): void;
  readonly life: AbortSignal;
}

export function watchSocket({ path, message, reopened, life }: WatchedSocket): void {
  const backoff = new Backoff();
  let lost = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let socket: WebSocket | undefined;

  const setLost = (now: boolean): void => {
    if (lost === now) return;
    lost = now;
    lostSockets.value += now ? 1 : -1;
  };
  const open = (): void => {
    clearTimeout(timer);
    let openedAt = 0;
    const opened = new WebSocket(socketUrl(path()));
    socket = opened;
    opened.onopen = () => {
      openedAt = performance.now();
      if (lost) reopened?.();
      setLost(false);
    };
    opened.onmessage = ({ data }) => {
      if (typeof data === "string" && !life.aborted) message(data);
    };
    opened.onclose = ({ code }) => {
      if (life.aborted || socket !== opened) return;
      socket = undefined;
      if (code === CLOSE_NORMAL || code === CLOSE_POLICY) return setLost(false);
      setLost(true);
      timer = setTimeout(open, backoff.next(openedAt === 0 ? 0 : performance.now() - openedAt, Math.random()));
    };
  };
  const retryNow = (): void => {
    if (!lost || socket !== undefined || document.visibilityState === "hidden") return;
    backoff.reset();
    open();
  };
  life.addEventListener("abort", () => {
    clearTimeout(timer);
    socket?.close();
    setLost(false);
  });
  addEventListener("online", retryNow, { signal: life });
  document.addEventListener("visibilitychange", retryNow, { signal: life });
  open();
}
