/** Our relay next to the stock one: throughput per core, delay of packets, memory per connection. */
import { setTimeout as sleep } from "node:timers/promises";
import { cpuSeconds, residentBytes, usageMissing } from "./process-usage.ts";
import { missingPrograms, Worker } from "./processes.ts";
import { type Bench, type BenchResult, Rounds } from "./report.ts";
import { buildRelayPrograms, ourRelay, type RunningRelay, relayLoad, stockRelay } from "./stock-relay.ts";

const OURS = "our relay";
const STOCK = "derper";
const PAIRS = 8;
/** Packets of a pair in flight: as many as the stock relay queues for one client before it drops. */
const WINDOW = 32;
const FULL_BYTES = 1280;
const SMALL_BYTES = 64;
const BUFFER_BYTES = 64 * 1024;
const CONNECTIONS = [1_000, 5_000] as const;
/** Connections before the first memory sample, so that code and pools are not counted. */
const WARM_UP_CONNECTIONS = 100;
const SETTLE_MS = 2_500;
const BUSY = { perSecond: 10_000, seconds: 4 };
const WEB_SOCKETS = 2_000;
const LATENCY_SECONDS = 0.8;
const TARGET_KIB = 32;
const higher = { better: "higher" } as const;
const lower = { better: "lower" } as const;

interface Contestant {
  readonly name: string;
  readonly start: () => Promise<RunningRelay>;
}

interface Loaded {
  readonly packets: number;
  readonly lost: number;
  readonly seconds: number;
}

interface RoundTrips {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}

export const relayLoadBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const needs = [...usageMissing, ...missingPrograms("go", "getconf")];
  if (needs.length > 0) return notMeasured(`needs ${needs.join(", ")}`);
  buildRelayPrograms();
  const measured = new Rounds();
  const contestants: readonly Contestant[] = [
    { name: OURS, start: () => ourRelay(profileFolder) },
    { name: STOCK, start: stockRelay },
  ];
  const lost = await carriedAndDelayed(contestants, measured, rounds, seconds, progress);
  for (const count of CONNECTIONS) {
    for (const contestant of contestants) {
      progress(`memory of ${contestant.name}, ${count} connections`);
      await memory(contestant, count, measured);
    }
  }
  for (const contestant of contestants) {
    progress(`memory of ${contestant.name}, ${WEB_SOCKETS} WebSocket connections`);
    await webSocketMemory(contestant, measured);
  }
  const figures = measured.figures();
  const ofOurs = figures.filter(({ name }) => name.startsWith(`${OURS}: `)).map(({ name }) => name);
  return {
    figures,
    ratios: ofOurs.flatMap((name) => measured.against(name, name.replace(OURS, STOCK))),
    missing: [],
    notes: [
      `${PAIRS} pairs over loopback, at most ${WINDOW} packets of a pair under way; lost: ${lost}`,
      "per core: divided by the CPU seconds of the relay's process; wall: all processes share this machine",
      "added: round trip through the relay, less the median of one without it; half load: half of its own wall rate; same load: half of the slower one's",
      `memory, measured once: resident, without a forced garbage collection, ${SETTLE_MS / 1000} s after the last connection came; that of the kernel is not in it`,
      `busy: all connections together receive ${BUSY.perSecond} packets/s of ${FULL_BYTES} B`,
    ],
  };
};

/** Returns a sentence about how many packets were lost. */
async function carriedAndDelayed(
  contestants: readonly Contestant[],
  measured: Rounds,
  rounds: number,
  seconds: number,
  progress: (line: string) => void,
): Promise<string> {
  await using owned = new AsyncDisposableStack();
  const running: { name: string; relay: RunningRelay; load: Worker; lost: number }[] = [];
  for (const { name, start } of contestants) {
    const relay = owned.use(await start());
    const load = owned.use(relayLoad());
    await load.ask({ do: "open", address: addressOf(relay), count: 2 * (PAIRS + 1), buffer: BUFFER_BYTES });
    await load.ask({ do: "load", pairs: PAIRS, bytes: FULL_BYTES, window: WINDOW, seconds: 1 }); // compilers warm up
    running.push({ name, relay, load, lost: 0 });
  }
  for (let round = 0; round < rounds; round++) {
    progress(`relay load, round ${round + 1} of ${rounds}`);
    const wallRates = new Map<string, number>();
    for (const bytes of [FULL_BYTES, SMALL_BYTES]) {
      for (const contestant of running) {
        const { name, relay, load } = contestant;
        const before = cpuSeconds(relay.pid);
        const sent = await load.ask<Loaded>({ do: "load", pairs: PAIRS, bytes, window: WINDOW, seconds });
        const perCore = sent.packets / (cpuSeconds(relay.pid) - before);
        const wall = sent.packets / sent.seconds;
        contestant.lost += sent.lost;
        measured.add(`${name}: ${bytes} B, per core`, perCore / 1000, "k packets/s", higher);
        measured.add(`${name}: ${bytes} B, wall`, wall / 1000, "k packets/s", higher);
        if (bytes !== FULL_BYTES) continue;
        wallRates.set(name, wall);
        measured.add(`${name}: ${bytes} B, per core, payload`, (perCore * bytes * 8) / 1e9, "Gbit/s", higher);
        measured.add(`${name}: ${bytes} B, wall, payload`, (wall * bytes * 8) / 1e9, "Gbit/s", higher);
      }
    }
    const trip = { do: "latency", bytes: FULL_BYTES, seconds: LATENCY_SECONDS };
    for (const { name, load } of running) {
      const direct = await load.ask<RoundTrips>({ do: "direct", bytes: FULL_BYTES, seconds: LATENCY_SECONDS / 2 });
      const idle = await load.ask<RoundTrips>({ ...trip, pairs: PAIRS });
      const at = (rate: number): Promise<RoundTrips> => load.ask<RoundTrips>({ ...trip, pairs: PAIRS, rate });
      const half = await at(wallRates.get(name)! / 2);
      const same = await at(Math.min(...wallRates.values()) / 2);
      for (const [state, { p50, p99 }] of [
        ["idle", idle],
        ["half load", half],
        ["same load", same],
      ] as const) {
        measured.add(`${name}: added, ${state}, p50`, p50 - direct.p50, "µs", lower);
        measured.add(`${name}: added, ${state}, p99`, p99 - direct.p50, "µs", lower);
      }
    }
  }
  return running.map(({ name, lost }) => `${lost} of ${name}`).join(", ");
}

async function memory({ name, start }: Contestant, count: number, measured: Rounds): Promise<void> {
  await using relay = await start();
  await using load = relayLoad();
  const open = { do: "open", address: addressOf(relay) };
  await load.ask({ ...open, count: WARM_UP_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = residentBytes(relay.pid);
  await load.ask({ ...open, count });
  await sleep(SETTLE_MS);
  const kibOf = (resident: number): number => (resident - before) / count / 1024;
  measured.add(`${name}: idle connection of ${count}`, kibOf(residentBytes(relay.pid)), "KiB", idleGoal(name));
  const busy = load.ask<Loaded>({ do: "busy", bytes: FULL_BYTES, rate: BUSY.perSecond, seconds: BUSY.seconds });
  await sleep((BUSY.seconds - 1) * 1000);
  const resident = residentBytes(relay.pid);
  const { packets, seconds } = await busy;
  if (packets < (BUSY.perSecond * seconds) / 2) throw new Error(`${name} carried ${packets} packets in ${seconds} s`);
  measured.add(`${name}: busy connection of ${count}`, kibOf(resident), "KiB", lower);
}

/** Memory of idle connections of our own client over WebSocket. */
async function webSocketMemory({ name, start }: Contestant, measured: Rounds): Promise<void> {
  await using relay = await start();
  await using clients = new Worker("idle-clients.ts");
  const open = { do: "open", port: relay.port, webSocket: true };
  await clients.ask({ ...open, count: WARM_UP_CONNECTIONS });
  await sleep(SETTLE_MS);
  const before = residentBytes(relay.pid);
  await clients.ask({ ...open, count: WEB_SOCKETS });
  await sleep(SETTLE_MS);
  const kib = (residentBytes(relay.pid) - before) / WEB_SOCKETS / 1024;
  measured.add(`${name}: idle WebSocket connection of ${WEB_SOCKETS}`, kib, "KiB", idleGoal(name));
}

function idleGoal(name: string): { readonly better: "lower"; readonly target?: number } {
  return name === OURS ? { ...lower, target: TARGET_KIB } : lower;
}

function addressOf({ port }: RunningRelay): string {
  return `127.0.0.1:${port}`;
}

function notMeasured(why: string): BenchResult {
  return { figures: [], ratios: [], missing: [why], notes: [] };
}
