import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Region } from "../api/regions.ts";
import type { RegionChoice } from "./region-choice.ts";
import { RegionFollower } from "./region-follower.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const region = (id: string, healthy = true): Region => ({
  id,
  name: id,
  display_name: id,
  icon_url: "",
  healthy,
  path_app_url: `https://${id}.example.com`,
  wildcard_hostname: "",
});

/** A follower of regions whose health and latency the test determines. */
function followed(
  stored?: RegionChoice,
  list: Region[] | undefined = [region("primary"), region("near"), region("far")],
) {
  const state = {
    list: list as Region[] | undefined,
    latency: { primary: 80, near: 12, far: 200 } as Record<string, number>,
    stored,
    measured: 0,
  };
  const follower = new RegionFollower({
    load: async () => state.list,
    latency: async ({ id }) => {
      state.measured++;
      return state.latency[id];
    },
    read: () => state.stored,
    write: (choice) => {
      state.stored = choice;
    },
  });
  const life = new AbortController();
  follower.start(life.signal);
  return { state, follower, life };
}

const carrierOf = async (follower: RegionFollower): Promise<string | undefined> => (await follower.carrier())?.id;

test("the first visit measures once, and the nearest region is remembered", async () => {
  const { state, follower, life } = followed();
  await vi.advanceTimersByTimeAsync(0);
  expect([await carrierOf(follower), state.measured, state.stored]).toEqual(["near", 3, { id: "near", by: "latency" }]);
  state.latency = { primary: 1, near: 500, far: 2 };
  await vi.advanceTimersByTimeAsync(600_000);
  expect([await carrierOf(follower), state.measured]).toEqual(["near", 3]);
  life.abort();
  expect(vi.getTimerCount()).toBe(0);
});

test("a region that is not healthy is left for the primary within 60 s, and comes back by itself", async () => {
  const { state, follower, life } = followed({ id: "far", by: "person" });
  await vi.advanceTimersByTimeAsync(0);
  expect(await carrierOf(follower)).toBe("far");
  state.list = [region("primary"), region("near"), region("far", false)];
  await vi.advanceTimersByTimeAsync(60_000);
  expect([await carrierOf(follower), state.stored]).toEqual([undefined, { id: "far", by: "person" }]);
  state.list = [region("primary"), region("near"), region("far")];
  await vi.advanceTimersByTimeAsync(60_000);
  expect([await carrierOf(follower), state.measured]).toEqual(["far", 0]);
  life.abort();
});

test("where nothing can be opened from here, the primary stands in for a minute", async () => {
  const { follower, life } = followed({ id: "near", by: "latency" });
  await vi.advanceTimersByTimeAsync(0);
  follower.failed("near");
  expect(await carrierOf(follower)).toBeUndefined();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await carrierOf(follower)).toBe("near");
  life.abort();
});

test("a person's choice holds at once, and the automatic one measures again", async () => {
  const { state, follower, life } = followed({ id: "near", by: "latency" });
  await vi.advanceTimersByTimeAsync(0);
  follower.choose("primary");
  expect([await carrierOf(follower), state.stored]).toEqual([undefined, { id: "primary", by: "person" }]);
  state.latency = { primary: 80, near: 300, far: 20 };
  follower.choose(undefined);
  await vi.advanceTimersByTimeAsync(0);
  expect([await carrierOf(follower), state.stored]).toEqual(["far", { id: "far", by: "latency" }]);
  life.abort();
});

test("a deployment that does not answer holds nothing up for long, and the choice stays", async () => {
  const { state, follower, life } = followed({ id: "far", by: "person" }, []);
  await vi.advanceTimersByTimeAsync(0);
  expect([await carrierOf(follower), state.stored]).toEqual([undefined, { id: "far", by: "person" }]);
  life.abort();
  const later = followed({ id: "far", by: "person" });
  await vi.advanceTimersByTimeAsync(0);
  later.state.list = undefined;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(await carrierOf(later.follower)).toBe("far");
  later.life.abort();

  const silent = new RegionFollower({
    load: () => new Promise(() => {}),
    latency: async () => undefined,
    read: () => undefined,
    write: () => {},
  });
  const end = new AbortController();
  silent.start(end.signal);
  const carrier = silent.carrier();
  await vi.advanceTimersByTimeAsync(2_000);
  expect(await carrier).toBeUndefined();
  end.abort();
});
