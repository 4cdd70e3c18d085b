import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "../api/client.ts";
import { type Changes, LiveResource } from "./resource.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("data is loaded once for all viewers, and followed from then on", async () => {
  const load = vi.fn(async () => "first");
  const followed: string[] = [];
  let changes: Changes<string> | undefined;
  const resource = new LiveResource<string>({
    load,
    follow: (given, _life, first) => {
      followed.push(first);
      changes = given;
    },
  });
  resource.enter();
  resource.enter();
  await vi.runAllTimersAsync();
  expect([resource.data.value, load.mock.calls.length, followed]).toEqual(["first", 1, ["first"]]);
  changes?.deliver("second");
  expect(resource.data.value).toBe("second");
  changes?.reload();
  await vi.runAllTimersAsync();
  expect([resource.data.value, followed.length]).toEqual(["first", 1]);
});

test("reloads requested during a load count as one", async () => {
  const answers: ((text: string) => void)[] = [];
  const resource = new LiveResource<string>({ load: () => new Promise((resolve) => void answers.push(resolve)) });
  resource.enter();
  resource.reload();
  resource.reload();
  resource.reload();
  expect(answers).toHaveLength(1);
  answers[0]!("a");
  await vi.runAllTimersAsync();
  expect(answers).toHaveLength(2);
  answers[1]!("b");
  await vi.runAllTimersAsync();
  expect([answers.length, resource.data.value]).toEqual([2, "b"]);
});

test("a reload that was taken apart from its resource loads again", async () => {
  const load = vi.fn(async () => "x");
  const resource = new LiveResource<string>({ load });
  const { reload } = resource;
  resource.enter();
  await vi.runAllTimersAsync();
  reload();
  await vi.runAllTimersAsync();
  expect(load).toHaveBeenCalledTimes(2);
});

test("without viewers everything stops; the data stays for those who come back, and goes in the end", async () => {
  let life: AbortSignal | undefined;
  const resource = new LiveResource<string>({
    load: async () => "x",
    watch: (_changes, signal) => {
      life = signal;
    },
  });
  const remove = vi.fn();
  resource.enter();
  await vi.advanceTimersByTimeAsync(0);
  resource.leave(remove);
  expect(life?.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(29_000);
  expect([remove.mock.calls.length, resource.data.value]).toEqual([0, "x"]);
  resource.enter();
  expect(life?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(60_000);
  expect(remove).not.toHaveBeenCalled();
  resource.leave(remove);
  await vi.advanceTimersByTimeAsync(31_000);
  expect(remove).toHaveBeenCalledOnce();
});

test("a failure keeps the data of before; one that passes is tried again", async () => {
  const answers: (string | ApiError)[] = [
    "x",
    new ApiError(0, { message: "no network" }),
    "y",
    new ApiError(404, { message: "gone" }),
  ];
  const resource = new LiveResource<string>({
    load: async () => {
      const next = answers.shift() ?? "unexpected";
      if (next instanceof ApiError) throw next;
      return next;
    },
  });
  resource.enter();
  await vi.advanceTimersByTimeAsync(0);
  resource.reload();
  await vi.advanceTimersByTimeAsync(0);
  expect([resource.data.value, resource.error.value?.message]).toEqual(["x", "no network"]);
  await vi.advanceTimersByTimeAsync(5_000);
  expect([resource.data.value, resource.error.value]).toEqual(["y", undefined]);
  resource.reload();
  await vi.advanceTimersByTimeAsync(60_000);
  expect([resource.data.value, resource.error.value?.status]).toEqual(["y", 404]);
});
