import { expect, test } from "vitest";
import type { LinkOptions } from "../../src/testing/link.ts";
import type { HostOptions } from "./tcp-harness.ts";
import { throughput } from "./throughput.ts";

test("throughput in Mbit/s, by link, over ten seconds from the start", () => {
  const table: Record<string, number> = {};
  const links: readonly (readonly [string, LinkOptions, HostOptions?])[] = [
    ["10 Mbit/s, 20 ms", { rateBps: 10e6, delayMs: 10 }],
    ["10 Mbit/s, 20 ms, queue of 20 packets", { rateBps: 10e6, delayMs: 10, queueBytes: 25_000 }],
    ["10 Mbit/s, 20 ms, 1 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.01 }],
    ["10 Mbit/s, 20 ms, 5 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.05 }],
    ["10 Mbit/s, 20 ms, 20 % loss", { rateBps: 10e6, delayMs: 10, loss: 0.2 }],
    ["10 Mbit/s, 300 ms", { rateBps: 10e6, delayMs: 150 }],
    ["50 Mbit/s, 40 ms, queue of a quarter BDP", { rateBps: 50e6, delayMs: 20, queueBytes: 62_500 }],
    ["50 Mbit/s, 40 ms, 0.1 % loss", { rateBps: 50e6, delayMs: 20, loss: 0.001 }],
    [
      "50 Mbit/s, 40 ms, 0.1 % loss, strict CUBIC",
      { rateBps: 50e6, delayMs: 20, loss: 0.001 },
      { tcp: { congestion: "cubic-strict" } },
    ],
    [
      "50 Mbit/s, 40 ms, 0.1 % loss, Reno",
      { rateBps: 50e6, delayMs: 20, loss: 0.001 },
      { tcp: { congestion: "reno" } },
    ],
    ["50 Mbit/s, 40 ms, 1 % loss", { rateBps: 50e6, delayMs: 20, loss: 0.01 }],
    ["50 Mbit/s, 40 ms, 1 % reordered by 5 ms", { rateBps: 50e6, delayMs: 20, reorder: 0.01, reorderMs: 5 }],
    ["50 Mbit/s, 40 ms, jitter 10 ms", { rateBps: 50e6, delayMs: 20, jitterMs: 10 }],
    [
      "50 Mbit/s, 40 ms, receive buffer of 64 kB",
      { rateBps: 50e6, delayMs: 20 },
      { tcp: { maxReceiveBufferBytes: 65_536 } },
    ],
    ["200 Mbit/s, 1 ms", { rateBps: 200e6, delayMs: 0.5 }, { mtu: 8920 }],
  ];
  for (const [name, link, options] of links) {
    const mbps = throughput(link, 0, 10_000, options);
    // Rounded so that a change of one packet here or there does not matter.
    table[name] = mbps >= 10 ? Math.round(mbps) : Math.round(mbps * 2) / 2;
  }
  expect(table).toMatchSnapshot();
});
