import { effect } from "@preact/signals";
import { RETRY_MS, type Source } from "./resource.ts";
import { follow, linkUp } from "./stream/link.ts";
import type { Data, Subscription } from "./stream/messages.ts";

/** A reconnection is usually quick, so only a longer interruption is bridged by requests. */
const BRIDGE_AFTER_MS = 2_000;
/** A tab that is hidden for longer follows nothing. */
const HIDDEN_MS = 60_000;

export interface Streamed<T> {
  readonly subscription: Subscription;
  /** Undefined when the data does not suffice yet. */
  read(data: Data): T | undefined;
  /** Loads by REST while the stream is interrupted. Absent when the resource that follows this source has its own `load`. */
  readonly load?: ((signal: AbortSignal) => Promise<T>) | undefined;
  readonly everyMs: number;
}

/** Data of a topic of the stream, or from the API while the stream is interrupted. */
export function streamed<T>({ subscription, read, load, everyMs }: Streamed<T>): Source<T> {
  return {
    load,
    watchFirst: true,
    watch: ({ deliver, fail, reload }, life) => {
      let leave: (() => void) | undefined;
      let retry: ReturnType<typeof setTimeout> | undefined;
      const enter = (): void => {
        leave ??= follow(subscription, {
          data: (data) => {
            const value = read(data);
            if (value !== undefined) deliver(value);
          },
          error: (error) => {
            fail(error);
            if (error.isTemporary) retry ??= setTimeout(again, RETRY_MS);
          },
        });
      };
      const exit = (): void => {
        clearTimeout(retry);
        retry = undefined;
        leave?.();
        leave = undefined;
      };
      // The server has ended the subscription, while the stream itself goes on.
      const again = (): void => {
        exit();
        enter();
      };
      enter();
      followVisibility({ shown: enter, hidden: exit }, life);
      bridge(reload, everyMs, life);
      life.addEventListener("abort", exit);
    },
  };
}

/** `hidden` is called after some time, `shown` at once. */
function followVisibility(events: { shown(): void; hidden(): void }, life: AbortSignal): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const change = (): void => {
    clearTimeout(timer);
    if (document.visibilityState === "visible") events.shown();
    else timer = setTimeout(() => events.hidden(), HIDDEN_MS);
  };
  document.addEventListener("visibilitychange", change, { signal: life });
  life.addEventListener("abort", () => clearTimeout(timer));
}

/** Requests the data while the stream is interrupted and the page visible. */
function bridge(reload: () => void, everyMs: number, life: AbortSignal): void {
  let timer: ReturnType<typeof setInterval> | undefined;
  const ask = (): void => {
    if (document.visibilityState === "visible") reload();
  };
  const stop = effect(() => {
    clearInterval(timer);
    if (linkUp.value) return;
    let first = true;
    timer = setInterval(
      () => {
        ask();
        if (!first) return;
        first = false;
        clearInterval(timer);
        timer = setInterval(ask, everyMs);
      },
      Math.min(BRIDGE_AFTER_MS, everyMs),
    );
  });
  life.addEventListener("abort", () => {
    stop();
    clearInterval(timer);
  });
}
