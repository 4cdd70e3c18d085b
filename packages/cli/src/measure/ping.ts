/** The measurement behind `coder ping`: one disco ping after the other, each with its deadline. */
import { sleep } from "coder-client/base/backoff";
import type { DiscoPong } from "coder-client/node/path-report";
import { EngineError } from "wg-userspace/base/errors";
import type { PingOutcome } from "../diagnosis/ping-text.ts";

/** While the peer is not known yet, asks again after this time; that does not count as a ping. */
const NO_PEER_RETRY_MS = 100;

export interface Pingable {
  discoPing(options: { readonly signal: AbortSignal }): Promise<DiscoPong>;
}

export interface PingRun {
  readonly target: Pingable;
  /** 0 means until the signal ends it. */
  readonly count: number;
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** Called with every outcome, in order. */
  readonly onOutcome: (outcome: PingOutcome) => void;
}

/** Pings until the count is reached or the signal aborts. Returns the outcomes; never rejects for a lost ping. */
export async function runPings(run: PingRun): Promise<PingOutcome[]> {
  const outcomes: PingOutcome[] = [];
  while (!run.signal.aborted && (run.count === 0 || outcomes.length < run.count)) {
    const startedAt = performance.now();
    const outcome = await pingOnce(run.target, run.timeoutMs, run.signal);
    if (outcome === undefined) break; // stopped while the ping was pending
    outcomes.push(outcome);
    run.onOutcome(outcome);
    if (run.count !== 0 && outcomes.length >= run.count) break;
    const rest = run.everyMs - (performance.now() - startedAt);
    if (rest > 0) await sleep(rest, run.signal).catch(() => undefined); // stopped: the loop's condition ends it
  }
  return outcomes;
}

/** Sends one ping. Undefined when the signal ended it. */
export async function pingOnce(
  target: Pingable,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<PingOutcome | undefined> {
  const atUnixMs = Date.now();
  const timeout = AbortSignal.timeout(timeoutMs);
  const either = AbortSignal.any([signal, timeout]);
  for (;;) {
    try {
      return { ok: true, atUnixMs, pong: await target.discoPing({ signal: either }) };
    } catch (error) {
      if (signal.aborted) return undefined;
      if (timeout.aborted) return { ok: false, atUnixMs, timedOut: true, error: `no answer within ${timeoutMs} ms` };
      if (!(error instanceof EngineError) || error.code !== "ERR_NO_PEER")
        return { ok: false, atUnixMs, timedOut: false, error: error instanceof Error ? error.message : String(error) };
      await sleep(NO_PEER_RETRY_MS, either).catch(() => undefined); // the next round finds out which of the two aborted
    }
  }
}
