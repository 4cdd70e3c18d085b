/**
 * Throughput of the tunnel with many streams, and of an agent with many peers: all of them together against one alone.
 */
import { type Direction, idlePeerKib, idleStreamKib, type Many, manyByWireguardGo, manyEngines } from "./many.ts";
import { missingPrograms } from "./processes.ts";
import { nativeMissing } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { wireguardNeeds } from "./wireguard-go.ts";

const COUNTS = [1, 10, 100];
const HUNDRED = 100;
/** The share of one stream's throughput that many together should reach. */
const TARGET_SHARE = 0.8;
const THOUSAND = 1_000;
const DIRECTIONS: readonly Direction[] = ["up", "down"];

export const concurrencyBench: Bench = async ({ rounds, seconds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  const goal = { better: "higher" } as const;
  await using owned = new AsyncDisposableStack();
  const carriers = new Map<string, Many>();
  const carrier = async (name: string, needs: readonly string[], open: () => Promise<Many>): Promise<void> => {
    if (needs.length > 0) missing.push(`${name}: needs ${needs.join(", ")}`);
    else carriers.set(name, owned.use(await open()));
  };
  const noNative = await nativeMissing();
  await carrier("our engine", noNative, () => manyEngines());
  await carrier("our engine, plain npm", [], () => manyEngines({ native: false }));
  await carrier("wireguard-go", wireguardNeeds().concat(missingPrograms("wireguard-go")), manyByWireguardGo);
  const agents = new Map<number, Many>();
  for (const clients of COUNTS) {
    if (noNative.length === 0) agents.set(clients, owned.use(await manyEngines({ clients })));
  }
  if (noNative.length > 0) missing.push(`peers: need ${noNative.join(", ")}`);

  const streamsOf = (name: string, count: number): string => `${name}, ${plural(count, "stream")}`;
  const peersOf = (count: number): string => `one agent, a stream from ${plural(count, "peer")}`;
  for (let round = 0; round < rounds; round++) {
    progress(`many streams and peers, round ${round + 1} of ${rounds}`);
    for (const direction of DIRECTIONS) {
      for (const count of COUNTS) {
        for (const [name, many] of carriers)
          measured.add(streamsOf(name, count), await many.rate(count, direction, seconds), "Gbit/s", goal);
      }
      for (const [count, many] of agents)
        measured.add(peersOf(count), await many.rate(count, direction, seconds), "Gbit/s", goal);
    }
  }
  progress("idle peers and streams");
  for (const [what, { few, many }] of [
    ["an idle peer", await idlePeerKib(HUNDRED, THOUSAND)],
    ["an idle stream", await idleStreamKib(HUNDRED, THOUSAND)],
  ] as const) {
    measured.add(`${what}, of ${HUNDRED}`, few, "KiB", { better: "lower" });
    measured.add(`${what}, of ${THOUSAND}`, many, "KiB", { better: "lower" });
  }
  return {
    figures: measured.figures(),
    ratios: [
      ...[...carriers.keys()].flatMap((name) => [
        ...measured.against(streamsOf(name, 10), streamsOf(name, 1)),
        ...measured.against(streamsOf(name, HUNDRED), streamsOf(name, 1)),
      ]),
      ...COUNTS.flatMap((count) => measured.against(streamsOf("our engine", count), streamsOf("wireguard-go", count))),
      ...measured.against(peersOf(10), peersOf(1)),
      ...measured.against(peersOf(HUNDRED), peersOf(1)),
      ...["an idle peer", "an idle stream"].flatMap((what) =>
        measured.against(`${what}, of ${THOUSAND}`, `${what}, of ${HUNDRED}`),
      ),
    ],
    missing,
    notes: [
      "Gbit/s of all streams together; a ratio of 1 to one stream or peer is flat growth",
      `all clients of an agent are engines in one other process, so ${HUNDRED} of them cost that process more than one`,
      `idle: heap and packet memory of the far process after a collection, once per run; 100 streams should get ${TARGET_SHARE} of what one gets`,
    ],
  };
};

function plural(count: number, noun: string): string {
  return count === 1 ? `1 ${noun}` : `${count} ${noun}s`;
}
