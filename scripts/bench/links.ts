/**
 * The share of a link that one bulk stream reaches, by round trip and random loss: our engine next to the kernel's TCP
 * with CUBIC on the same emulated link in the same run.
 */
import { EmulatedLink } from "./emulated-link.ts";
import { hostsNeeds } from "./hosts.ts";
import { missingPrograms } from "./processes.ts";
import { cProgram } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { enginePair, plainPair, type StreamPair } from "./streams.ts";

const KBIT_PER_SECOND = 100_000;
/** Leaves time for slow start, and for CUBIC to converge afterwards. */
const TRIPS = [
  { ms: 20, warmUpSeconds: 1, seconds: 3 },
  { ms: 100, warmUpSeconds: 2.5, seconds: 5 },
  { ms: 300, warmUpSeconds: 6, seconds: 10.5 },
];
const LOSSES_PER_MILLION = [0, 1_000, 10_000];
const QUEUE_MIN_BYTES = 100 * 1500;
/** Six minutes in all. */
const MAX_ROUNDS = 3;

export const linksBench: Bench = async ({ rounds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const needs = hostsNeeds().concat(missingPrograms("chrt"));
  const emulator = needs.length > 0 ? { missing: needs.join(", ") } : await cProgram("link", "link.c");
  if ("missing" in emulator) missing.push(`all of it: needs ${emulator.missing}`);
  const link = "path" in emulator ? await EmulatedLink.open(owned, emulator.path) : undefined;
  const contestants = new Map<string, StreamPair>();
  if (link !== undefined) {
    const host = link.right.address;
    const plain = { hosts: link, listenHost: host };
    contestants.set("our engine", owned.use(await enginePair({ hosts: link })));
    contestants.set("kernel", owned.use(await plainPair(plain, async (port) => ({ host, port }))));
  }
  const ratios: [ours: string, kernel: string][] = [];
  const rounded = Math.min(rounds, MAX_ROUNDS);
  for (let round = 0; round < rounded && link !== undefined; round++) {
    for (const { ms, warmUpSeconds, seconds } of TRIPS) {
      progress(`links, round ${round + 1} of ${rounded}, ${ms} ms`);
      for (const lossPerMillion of LOSSES_PER_MILLION) {
        const name = (who: string): string => `${who}, ${ms} ms, ${lossPerMillion / 10_000} % loss`;
        if (round === 0) ratios.push([name("our engine"), name("kernel")]);
        for (const [who, pair] of contestants) {
          await link.set({
            rttMs: ms,
            kbitPerSecond: KBIT_PER_SECOND,
            queueBytes: Math.max((KBIT_PER_SECOND * ms) / 8, QUEUE_MIN_BYTES),
            lossPerMillion,
            seed: round + 1,
          });
          const rate = await pair.sample("up", warmUpSeconds, seconds);
          measured.add(name(who), (rate * 1e8) / KBIT_PER_SECOND, "%", { better: "higher" });
          await link.check();
        }
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: ratios.flatMap(([ours, kernel]) => measured.against(ours, kernel)),
    missing,
    notes: [
      `payload as a share of the raw ${KBIT_PER_SECOND / 1000} Mbit/s: headers leave the kernel 97 %, our engine with MTU 1280 and the tunnel's own headers 90 %`,
      "a drop-tail queue of one round trip's worth, at least 100 full packets; random loss in both directions, the same pattern for both in a round",
      "payload counts when the reader gets it: bytes that a loss held up before the sample began can lift it above what the link carries",
      "kernel: CUBIC, buffers up to 16 MiB as ours, no memory of earlier connections",
      `at most ${MAX_ROUNDS} rounds of fixed length: ${TRIPS.map((trip) => `${trip.ms} ms: seconds ${trip.warmUpSeconds} to ${trip.seconds} of each stream`).join("; ")}`,
    ],
  };
};
