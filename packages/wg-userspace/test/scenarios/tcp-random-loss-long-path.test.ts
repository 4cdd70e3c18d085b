import { expect, test } from "vitest";
import { path, payloadRate, transfer } from "./bulk-transfer.ts";

test.each([
  [100, 0, 0.7],
  [300, 4000, 0.5],
])(
  "a loss of one packet in a hundred on a path of %i ms leaves, from ms %i on, at least %d of the link",
  (rttMs, fromMs, share) => {
    for (const seed of [1, 3]) {
      const link = path(rttMs, 1, { loss: 0.01 });
      const { bytes } = transfer(link, seed, fromMs);
      expect(bytes / (payloadRate(link) * (10_000 - fromMs))).toBeGreaterThan(share);
    }
  },
);
