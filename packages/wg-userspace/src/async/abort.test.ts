import { EventEmitter, getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { abortable, aborted, deadline, onAbort, once, orAborted, sleep, type WaitEnd } from "./abort.ts";

const NEVER = 2 ** 31 - 1;
const reason = new Error("the reason");

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

describe("abortable", () => {
  const endings: readonly [string, (work: Work) => void, boolean, unknown][] = [
    ["a result", ({ resolve }) => resolve(7), false, 7],
    ["a failure", ({ reject }) => reject(reason), false, reason],
    ["the signal", ({ stop }) => stop.abort(reason), true, reason],
  ];
  interface Work {
    readonly resolve: (value: number) => void;
    readonly reject: (error: unknown) => void;
    readonly stop: AbortController;
  }

  it.each(endings)(
    "ended by %s: cleans up once, keeps the outcome, removes its listener",
    async (_n, act, was, end) => {
      const stop = new AbortController();
      const ended: boolean[] = [];
      let work: Work | undefined;
      const promise = abortable<number>(stop.signal, (resolve, reject) => {
        work = { resolve, reject, stop };
        return (wasAborted) => void ended.push(wasAborted);
      });
      expect(listenersOf(stop.signal)).toBe(1);
      act(work!);
      expect(listenersOf(stop.signal)).toBe(0);
      expect(await promise.catch((error: unknown) => error)).toBe(end);
      // Later calls change nothing.
      work!.resolve(8);
      work!.reject(new Error("too late"));
      stop.abort(new Error("too late"));
      expect(await promise.catch((error: unknown) => error)).toBe(end);
      expect(ended).toEqual([was]);
    },
  );

  it("starts nothing under a signal that has aborted", async () => {
    const start = vi.fn<() => undefined>();
    await expect(abortable(AbortSignal.abort(reason), start)).rejects.toBe(reason);
    expect(start).not.toHaveBeenCalled();
  });

  it("cleans up after work that ends while it starts", async () => {
    const stop = new AbortController();
    const end = vi.fn<WaitEnd>();
    await expect(
      abortable<number>(stop.signal, (resolve) => {
        resolve(7);
        return end;
      }),
    ).resolves.toBe(7);
    await expect(
      abortable<number>(stop.signal, () => {
        stop.abort(reason);
        return end;
      }),
    ).rejects.toBe(reason);
    expect(end.mock.calls).toEqual([[false], [true]]);
    expect(listenersOf(stop.signal)).toBe(0);
  });

  it("rejects when the work cannot be started, or its clean-up fails", async () => {
    const stop = new AbortController();
    const broken = (): never => {
      throw reason;
    };
    await expect(abortable(stop.signal, broken)).rejects.toBe(reason);
    await expect(
      abortable<number>(stop.signal, (resolve) => {
        queueMicrotask(() => resolve(7));
        return broken;
      }),
    ).rejects.toBe(reason);
    expect(listenersOf(stop.signal)).toBe(0);
  });

  it("needs no signal", async () => {
    await expect(
      abortable<number>(undefined, (resolve) => {
        resolve(7);
      }),
    ).resolves.toBe(7);
  });
});

describe("orAborted", () => {
  it("settles as the work does", async () => {
    const { signal } = new AbortController();
    await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(orAborted(Promise.reject(reason), signal)).rejects.toBe(reason);
    expect(listenersOf(signal)).toBe(0);
  });

  it("abandons work when the signal aborts first, and handles its rejection", async () => {
    const stop = new AbortController();
    const work = Promise.withResolvers<number>();
    const promise = orAborted(work.promise, stop.signal);
    stop.abort(reason);
    await expect(promise).rejects.toBe(reason);
    await expect(orAborted(Promise.reject(new Error("not waited for")), stop.signal)).rejects.toBe(reason);
    work.reject(new Error("would otherwise be unhandled"));
    await new Promise(setImmediate);
  });
});

describe("sleep", () => {
  it("resolves after the delay, or rejects with the reason and stops its timer", async () => {
    vi.useFakeTimers();
    try {
      const stop = new AbortController();
      const slept = sleep(1_000, stop.signal);
      vi.advanceTimersByTime(999);
      expect(listenersOf(stop.signal)).toBe(1);
      vi.advanceTimersByTime(1);
      expect(listenersOf(stop.signal)).toBe(0);
      await slept;
      const woken = sleep(NEVER, stop.signal);
      stop.abort(reason);
      await expect(woken).rejects.toBe(reason);
      await expect(sleep(NEVER, stop.signal)).rejects.toBe(reason);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("onAbort and aborted", () => {
  it("call once, at once for a signal that has aborted, and never after removal", async () => {
    const stop = new AbortController();
    const [kept, removed, late] = [vi.fn(), vi.fn(), vi.fn()];
    const waiting = aborted(stop.signal);
    onAbort(stop.signal, kept);
    onAbort(stop.signal, removed)();
    expect(listenersOf(stop.signal)).toBe(2);
    stop.abort(reason);
    await waiting;
    await aborted(stop.signal);
    onAbort(stop.signal, late)();
    expect([kept, removed, late].map((called) => called.mock.calls.length)).toEqual([1, 0, 1]);
    expect(listenersOf(stop.signal)).toBe(0);
  });

  it("keep two registrations of one function apart", () => {
    const stop = new AbortController();
    const listener = vi.fn();
    onAbort(stop.signal, listener);
    onAbort(stop.signal, listener)();
    stop.abort();
    expect(listener).toHaveBeenCalledTimes(1);
  });
});

describe("deadline", () => {
  it("aborts with the signal's reason", () => {
    const stop = new AbortController();
    const signal = deadline(NEVER, stop.signal);
    expect(signal.aborted).toBe(false);
    stop.abort(reason);
    expect(signal.reason).toBe(reason);
  });

  it("aborts with a TimeoutError when the time is over", async () => {
    for (const signal of [deadline(1), deadline(1, new AbortController().signal)]) {
      await aborted(signal);
      expect(signal.reason).toMatchObject({ name: "TimeoutError" });
    }
  });
});

describe("once", () => {
  it.each([
    ["the event", (source: EventEmitter) => source.emit("ready", 1), undefined],
    ["an error", (source: EventEmitter) => source.emit("error", reason), reason],
    [
      "the end of the source",
      (source: EventEmitter) => source.emit("close"),
      Object.assign(new Error('closed before "ready"'), { code: "ERR_STREAM_PREMATURE_CLOSE" }),
    ],
  ])("ends with %s and removes every listener", async (_name, act, failure) => {
    const source = new EventEmitter();
    const { signal } = new AbortController();
    const promise = once(source, "ready", signal);
    act(source);
    if (failure === undefined) await promise;
    else await expect(promise).rejects.toEqual(failure);
    expect([...source.eventNames(), listenersOf(signal)]).toEqual([0]);
  });

  it("ends with the signal, and waits for a close or an error as for any event", async () => {
    const source = new EventEmitter();
    const stop = new AbortController();
    const promise = once(source, "ready", stop.signal);
    stop.abort(reason);
    await expect(promise).rejects.toBe(reason);
    const closing = once(source, "close");
    source.emit("close");
    await closing;
    const failing = once(source, "error");
    source.emit("error", reason);
    await failing;
    expect(source.eventNames()).toEqual([]);
  });
});
