import { expect, test } from "vitest";
import { type Instant, instant } from "../../src/base/instant.ts";
import { Link, type LinkOptions } from "../../src/testing/link.ts";
import { path, possible, transfer } from "./bulk-transfer.ts";

/** A receiver that polls every few ms only, like one that reads datagrams in batches. */
class BatchLink extends Link {
  readonly #everyMs: number;
  constructor(options: LinkOptions, everyMs: number) {
    super(options, 1);
    this.#everyMs = everyMs;
  }
  override nextTimeout(): Instant | undefined {
    const at = super.nextTimeout();
    return at === undefined ? undefined : instant(Math.ceil(at / this.#everyMs) * this.#everyMs);
  }
  override receive(now: Instant): Uint8Array | undefined {
    const at = this.nextTimeout();
    return at === undefined || at > now ? undefined : super.receive(now);
  }
}

test("slow start ends in time when the receiver takes packets in batches", () => {
  const link = path(100, 1);
  const { bytes, queueDrops } = transfer(new BatchLink(link, 5));
  expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
  expect(queueDrops).toBeLessThanOrEqual(400);
});
test("slow start is not ended by jitter of 10 ms", () => {
  const link = path(40, 4, { jitterMs: 10 });
  const { bytes, queueDrops } = transfer(link);
  expect(bytes / possible(link, 10_000)).toBeGreaterThan(0.97);
  expect(queueDrops).toBe(0);
});
