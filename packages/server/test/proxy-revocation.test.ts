/** How long what is open at a workspace proxy outlives the right to it, in virtual time: from the event at the primary to its end. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { TunnelRechecks } from "../src/control/tunnel-rechecks.ts";
import { OpenRights } from "../src/proxy/apps/open-rights.ts";

/** The promise of docs/operations/workspace-proxies.md. */
const BOUND_MS = 2_500;
/** One way between primary and proxy: around the world, over bad lines. */
const LATENCY_MS = 150;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const after = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

interface Case {
  /** Whether a right to any tunnel to the agent is left, as the primary's database says. */
  readonly holds: () => Promise<boolean>;
  /** The answer to the proxy when it asks whether its use still holds. */
  readonly answer: () => Promise<boolean | "unknown">;
}

/** The primary and the proxy, each with its own part of the real code, and the network between them. */
function deployment({ holds, answer }: Case) {
  let endedAt: number | undefined;
  const end = (): void => {
    endedAt ??= Date.now();
  };
  const rights = new OpenRights({
    clock: () => instant(Date.now()),
    now: Date.now,
    onAgentUnused: () => undefined,
  });
  const ask = async () => {
    await after(LATENCY_MS);
    const found = await answer();
    await after(LATENCY_MS);
    if (found === "unknown") return found;
    return found ? ({ holds: true, endsAt: undefined } as const) : ({ holds: false, reason: "access ended" } as const);
  };
  rights.add({
    agentId: "a",
    endsAt: undefined,
    askAfterMs: 60_000,
    decidedAfter: instant(Date.now()),
    question: "q",
    ask,
    end,
  });
  const primary = new TunnelRechecks({
    admitted: () => ["a"],
    concerned: async (agentIds) => agentIds,
    holds,
    // The agent, too, learns that the tunnel has ended, so everything in it ends.
    end: () => void after(LATENCY_MS).then(end),
    stays: (agentId) => void after(LATENCY_MS).then(() => rights.doubt(agentId)),
    onError: () => undefined,
    pause: (ms, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        signal?.addEventListener("abort", () => clearTimeout(timer), { once: true });
      }),
  });
  return { revoke: () => primary.doubt({ userId: "u" }), endedAt: () => endedAt, rights };
}

const never = (): Promise<never> => new Promise(() => undefined);
const fails = (): Promise<never> => Promise.reject(new Error("no database"));

const CASES: readonly (readonly [string, Case])[] = [
  ["it was the last right to the agent", { holds: async () => false, answer: async () => false }],
  ["others still use the agent", { holds: async () => true, answer: async () => false }],
  [
    "the primary's database takes a second for each answer",
    { holds: () => after(1_000).then(() => true), answer: () => after(1_000).then(() => false) },
  ],
  ["the primary's database fails", { holds: fails, answer: async () => "unknown" }],
  ["the primary's database does not answer", { holds: never, answer: never }],
];

test.each(CASES)("a revocation ends what is open at a proxy within 2.5 s: %s", async (_, conditions) => {
  // At every phase of the proxy's own timer.
  for (let phase = 0; phase < 500; phase += 25) {
    const { revoke, endedAt, rights } = deployment(conditions);
    await vi.advanceTimersByTimeAsync(phase);
    const revokedAt = Date.now();
    void revoke();
    await vi.advanceTimersByTimeAsync(BOUND_MS);
    const tookMs = (endedAt() ?? Number.POSITIVE_INFINITY) - revokedAt;
    expect([phase, tookMs <= BOUND_MS]).toEqual([phase, true]);
    rights.endAll("over");
    await vi.advanceTimersByTimeAsync(60_000);
  }
});
