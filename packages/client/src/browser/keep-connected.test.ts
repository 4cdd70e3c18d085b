import { expect, it } from "vitest";
import { keepConnected } from "./keep-connected.ts";

it("connects again after each end, whatever the reason, until it is aborted", async () => {
  const stop = new AbortController();
  const lost: string[] = [];
  const ends = [
    () => Promise.resolve("closed"),
    () => Promise.reject(new Error("refused")),
    () => Promise.reject("no"),
  ];
  let connections = 0;
  await keepConnected({
    connect: () => {
      const end = ends[connections++];
      if (end !== undefined) return end();
      stop.abort();
      return Promise.resolve("aborted");
    },
    onLost: (reason) => lost.push(reason),
    limitMs: 1,
    signal: stop.signal,
  });
  expect(lost).toEqual(["closed", "refused", "no"]);
  expect(connections).toBe(4);
});

it("does not wait out a pause once it is aborted", async () => {
  const stop = new AbortController();
  const over = keepConnected({
    connect: () => Promise.resolve("closed"),
    onLost: () => stop.abort(),
    limitMs: 3_600_000,
    signal: stop.signal,
  });
  await over;
  expect(stop.signal.aborted).toBe(true);
});
