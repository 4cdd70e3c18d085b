import type { DiscoPong } from "coder-client/node/path-report";
import { expect, it } from "vitest";
import { EngineError } from "wg-userspace/base/errors";
import { runPings } from "./ping.ts";

const PONG: DiscoPong = { rttMs: 1, path: { kind: "direct", endpoint: "10.0.0.1:1" } };
const never = ({ signal }: { signal: AbortSignal }): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

function run(discoPing: (options: { signal: AbortSignal }) => Promise<DiscoPong>, options = {}) {
  return runPings({
    target: { discoPing },
    count: 3,
    everyMs: 1,
    timeoutMs: 40,
    signal: new AbortController().signal,
    onOutcome: () => undefined,
    ...options,
  });
}

it("stops after the count", async () => {
  expect(await run(async () => PONG)).toHaveLength(3);
});

it("a lost ping is a time-out, and the next one is sent all the same", async () => {
  let calls = 0;
  const outcomes = await run(async (options) => (++calls === 1 ? never(options) : PONG));
  expect(outcomes.map((outcome) => outcome.ok || outcome.timedOut)).toEqual([true, true, true]);
  expect(outcomes.map(({ ok }) => ok)).toEqual([false, true, true]);
});

it("an unknown peer is waited for within the time of the ping", async () => {
  let calls = 0;
  const outcomes = await run(
    async () => {
      if (++calls < 3) throw new EngineError("ERR_NO_PEER", "not yet");
      return PONG;
    },
    { count: 1, timeoutMs: 2_000 },
  );
  expect(outcomes).toMatchObject([{ ok: true }]);
});

it("another failure is reported with its reason", async () => {
  const outcomes = await run(
    async () => {
      throw new Error("the tunnel is closed");
    },
    { count: 1 },
  );
  expect(outcomes).toMatchObject([{ ok: false, timedOut: false, error: "the tunnel is closed" }]);
});

it("the signal ends it at once, and a ping under way does not count", async () => {
  const stop = new AbortController();
  const running = run(never, { count: 0, timeoutMs: 60_000, signal: stop.signal });
  stop.abort();
  expect(await running).toEqual([]);
});
