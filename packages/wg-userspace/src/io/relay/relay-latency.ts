import { EngineError } from "../../base/errors.ts";
import type { Instant } from "../../base/instant.ts";
import type { Region } from "../../derp/map.ts";
import { relayCandidates } from "../../derp/relay-candidates.ts";
import { monotonicNow } from "../host/clock.ts";
import { toEngineError } from "../host/node-errors.ts";
import type { RelayDialer } from "./relay-dialer.ts";
import { requestHead } from "./relay-upgrade.ts";

const LATENCY_PATH = "/derp/latency-check";
const MAX_OK_STATUS = 299;

export interface MeasureOptions {
  readonly dialer: RelayDialer;
  readonly clock?: () => Instant;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Round trip in ms to the first node of a region that answers `GET /derp/latency-check`, from request to the head of the
 * answer: connecting and TLS do not count. Rejects with an EngineError or with `signal.reason`.
 */
export async function measureLatency(region: Region, options: MeasureOptions): Promise<number> {
  const { dialer, clock = monotonicNow, signal, headers = {} } = options;
  let lastError: unknown = new EngineError("ERR_INVALID_ARGUMENT", `region ${region.regionId} has no relay node`);
  for (const candidate of relayCandidates(region)) {
    signal.throwIfAborted();
    const context = `cannot measure relay "${candidate.label}"`;
    try {
      const stream = await dialer.connect({ ...candidate.target, optional: true }, { signal });
      try {
        const sentAt = clock();
        const head = await requestHead(stream, {
          host: candidate.hostHeader,
          path: LATENCY_PATH,
          headers: { ...headers, Connection: "close" },
          context,
          signal,
        });
        if (head.status > MAX_OK_STATUS)
          throw new EngineError("ERR_RELAY_REFUSED", `${context}: refused with HTTP ${head.status}`, {
            retryable: true,
          });
        return clock() - sentAt;
      } finally {
        stream.on("error", () => undefined); // no longer read
        stream.destroy();
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      lastError = toEngineError(error, context);
    }
  }
  throw lastError;
}
