/** Runs a yamux session over a WebSocket. Its binary messages form one byte stream, in which message boundaries mean nothing. */

import type { YamuxSession } from "coder-protocol/yamux/session";
import { EngineError } from "wg-userspace/base/errors";
import { monotonicNow } from "wg-userspace/io/host/clock";
import type WebSocket from "ws";
import { SilenceAlarm } from "./silence-alarm.ts";

/** While more than this is queued in the socket, the session keeps its output, so that its streams feel the back-pressure. */
const HIGH_WATER_BYTES = 256 * 1024;
const DRAIN_CHECK_MS = 10;
const NORMAL_CLOSE = 1000;
const UNSUPPORTED_DATA = 1003;
/** Private close code (RFC 6455 §7.4.2): the closing side was not killed, and does not wait for an answer. */
const ABANDONED = 4000;

export interface RunningYamux {
  /** Resolves when the transport has ended: with the reason, or undefined after our own close. Never rejects. */
  readonly closed: Promise<Error | undefined>;
  close(): void;
}

/**
 * Ends the transport at once. If anything still arrives, the close frame comes first and shows the other side that this process
 * was not killed.
 */
export function abandon(socket: WebSocket, reason: string): void {
  socket.close(ABANDONED, reason);
  socket.terminate();
}

export interface YamuxListeners {
  /** The other side is overdue, so other connections on the same route may be dead too. */
  readonly onDoubt?: (() => void) | undefined;
  /** Called on any input: the process is awake, and may do now what it would soon wake up for. */
  readonly onHeard?: (() => void) | undefined;
}

export function runYamux(
  socket: WebSocket,
  yamux: YamuxSession,
  { onDoubt, onHeard }: YamuxListeners = {},
): RunningYamux {
  const { promise: closed, resolve } = Promise.withResolvers<Error | undefined>();
  let timer: NodeJS.Timeout | undefined;
  let scheduled = false;
  let byUs = false;
  let failure: string | undefined;
  const alarm = new SilenceAlarm(monotonicNow());
  let alarmTimer: NodeJS.Timeout | undefined;
  const heard = (): void => {
    const { asking } = alarm;
    alarm.heard(monotonicNow());
    // Postponed instead of letting it fire, so that an idle process is not woken.
    if (asking) listen();
    else alarmTimer?.refresh();
    onHeard?.();
  };
  const listen = (): void => {
    clearTimeout(alarmTimer);
    alarmTimer = setTimeout(
      // Input that arrived while this process was busy is read first.
      () => setImmediate(judgeSilence),
      Math.max(1, alarm.nextTimeout() - monotonicNow()),
    );
    alarmTimer.unref();
  };
  const judgeSilence = (): void => {
    if (socket.readyState !== socket.OPEN) return;
    const verdict = alarm.handleTimeout(monotonicNow());
    if (verdict === "dead") {
      failure ??= "the control plane fell silent";
      abandon(socket, "no sign of life");
      return;
    }
    if (verdict === "ask") {
      socket.ping();
      onDoubt?.();
    }
    listen();
  };

  const pump = (): void => {
    scheduled = false;
    while (socket.readyState === socket.OPEN) {
      if (socket.bufferedAmount > HIGH_WATER_BYTES) {
        setTimeout(schedule, DRAIN_CHECK_MS);
        break;
      }
      const output = yamux.takeOutput();
      if (output === undefined) break;
      socket.send(output);
    }
    if (yamux.ended !== undefined && socket.readyState === socket.OPEN) {
      failure ??= yamux.ended.failure;
      socket.close(NORMAL_CLOSE);
    }
    rearm();
  };
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(pump);
  };
  const rearm = (): void => {
    clearTimeout(timer);
    const at = yamux.nextTimeout();
    if (at === undefined || socket.readyState !== socket.OPEN) return;
    timer = setTimeout(
      () => {
        yamux.handleTimeout(performance.now());
        pump();
      },
      Math.max(1, at - performance.now()),
    );
  };

  socket.binaryType = "nodebuffer";
  socket.on("ping", heard);
  socket.on("pong", heard);
  socket.on("message", (data, isBinary) => {
    heard();
    if (!isBinary) {
      failure ??= "the server sent a text message on the control connection";
      socket.close(UNSUPPORTED_DATA);
      return;
    }
    yamux.handleBytes(data as Buffer, performance.now());
    pump();
  });
  socket.on("error", (error) => {
    failure ??= error.message;
  });
  socket.on("close", (code, reason) => {
    clearTimeout(timer);
    clearTimeout(alarmTimer);
    if (code !== NORMAL_CLOSE)
      failure ??= reason.length > 0 ? reason.toString("utf8") : `the connection closed (${code})`;
    yamux.handleEnd(failure);
    resolve(
      byUs
        ? undefined
        : new EngineError("ERR_CLOSED", `control connection lost: ${failure ?? "closed by the server"}`, {
            retryable: true,
          }),
    );
  });
  yamux.onOutput = schedule;
  yamux.handleTimeout(performance.now());
  pump();
  listen();

  return {
    closed,
    close: () => {
      byUs = true;
      yamux.close();
      pump();
      if (socket.readyState === socket.CONNECTING) socket.terminate();
      // Limits the wait for a peer that does not answer the close.
      setTimeout(() => socket.terminate(), 1_000).unref();
    },
  };
}
