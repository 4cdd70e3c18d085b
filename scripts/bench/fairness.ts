/**
 * The share that a flow of the kernel's CUBIC gets of a bottleneck that it shares with one other bulk flow: our
 * engine's, or, for comparison, another of the kernel's.
 */
import { EmulatedLink } from "./emulated-link.ts";
import { hostsNeeds } from "./hosts.ts";
import { missingPrograms } from "./processes.ts";
import { cProgram } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { enginePair, plainPair, type StreamPair } from "./streams.ts";

const KBIT_PER_SECOND = 20_000;
const TRIPS_MS = [20, 80];
/** Lengths of the queue in bandwidth-delay products. */
const QUEUES = [0.1, 0.25, 1];
/** A queue of fewer packets overflows whenever two windows coincide, whichever stack sends them. */
const QUEUE_MIN_BYTES = 4 * 1500;
/**
 * The first third, in which the flows converge, does not count. CUBIC takes several seconds from one loss to the next.
 */
const SECONDS = 30;
/** Head start of the flow that begins first; the two alternate by round. */
const AHEAD_MS = 300;
/** Six minutes each. */
const MAX_ROUNDS = 4;
const ENGINE = "our engine";
const KERNEL = "the kernel";
/** Bytes on the link per byte of payload: the overhead of headers is not a matter of fairness. */
const FRAMING = { [ENGINE]: (1280 + 60) / (1280 - 72), [KERNEL]: 1500 / 1448 };

export const fairnessBench: Bench = async ({ rounds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const needs = hostsNeeds().concat(missingPrograms("chrt"));
  const emulator = needs.length > 0 ? { missing: needs.join(", ") } : await cProgram("link", "link.c");
  if ("missing" in emulator) missing.push(`all of it: needs ${emulator.missing}`);
  else {
    const link = await EmulatedLink.open(owned, emulator.path);
    const kernelPair = async (): Promise<StreamPair> => {
      const host = link.right.address;
      return owned.use(
        await plainPair({ hosts: link, listenHost: host, realTime: true }, async (port) => ({ host, port })),
      );
    };
    const probe = await kernelPair();
    const rivals = [
      { name: ENGINE, pair: owned.use(await enginePair({ hosts: link, realTime: true })) },
      { name: KERNEL, pair: await kernelPair() },
    ] as const;
    const counted = Math.min(rounds, MAX_ROUNDS);
    for (let round = 0; round < counted; round++) {
      for (const rttMs of TRIPS_MS) {
        for (const queue of QUEUES) {
          progress(`fairness, round ${round + 1} of ${counted}, ${rttMs} ms, queue of ${queue} BDP`);
          for (const { name, pair } of rivals) {
            const queueBytes = Math.max((queue * KBIT_PER_SECOND * rttMs) / 8, QUEUE_MIN_BYTES);
            await link.set({ rttMs, kbitPerSecond: KBIT_PER_SECOND, queueBytes, lossPerMillion: 0, seed: round + 1 });
            const [first, second] = round % 2 === 0 ? [probe, pair] : [pair, probe];
            const begun = first.sample("up", SECONDS / 3, SECONDS);
            await new Promise((resolve) => setTimeout(resolve, AHEAD_MS));
            const [a, b] = await Promise.all([begun, second.sample("up", SECONDS / 3, SECONDS)]);
            const [probed, other] = first === probe ? [a, b] : [b, a];
            const [bytes, otherBytes] = [probed * FRAMING[KERNEL], other * FRAMING[name]];
            const at = `${rttMs} ms, queue of ${queue} BDP, beside ${name}`;
            measured.add(`share, ${at}`, (100 * bytes) / (bytes + otherBytes), "%", { better: "higher" });
            measured.add(`both together, ${at}`, ((bytes + otherBytes) * 1e8) / KBIT_PER_SECOND, "%", {
              better: "higher",
            });
            await link.check();
          }
        }
      }
    }
  }
  return {
    figures: measured.figures(),
    ratios: TRIPS_MS.flatMap((rttMs) =>
      QUEUES.flatMap((queue) => {
        const name = (who: string): string => `share, ${rttMs} ms, queue of ${queue} BDP, beside ${who}`;
        return measured.against(name(ENGINE), name(KERNEL));
      }),
    ),
    missing,
    notes: [
      `${KBIT_PER_SECOND / 1000} Mbit/s with a drop-tail queue; share of a kernel CUBIC flow in the bytes on the link, headers included, seconds ${SECONDS / 3} to ${SECONDS} of each flow`,
      "both ends of each flow and the link run before everything else on this machine: a process that waits sends bursts of its own",
      `one of the two begins ${AHEAD_MS} ms earlier, in turns`,
    ],
  };
};
