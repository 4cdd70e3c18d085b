/** The relayed tunnel: throughput of engine ↔ relay ↔ engine in three processes, and what an idle connection costs. */
import { Worker } from "./processes.ts";
import { type Bench, type BenchOptions, Rounds } from "./report.ts";
import { enginePair } from "./streams.ts";

const IDLE = [
  { name: "raw", webSocket: false, count: 2_000 },
  { name: "WebSocket", webSocket: true, count: 500 },
];
/** Connections before the first measurement, so that code and pools are not counted. */
const WARM_UP_CONNECTIONS = 100;
const TARGET_GBIT = 1;
const TARGET_KIB = 32;

export const relayBench: Bench = async ({ rounds, seconds, profileFolder, progress }) => {
  const measured = new Rounds();
  await using relay = new Worker("relay-process.ts", { profileFolder });
  const { port: relayPort } = await relay.ask<{ port: number }>({ do: "open" });
  await using raw = await enginePair({ relayPort, profileFolder });
  await using webSocket = await enginePair({ relayPort, webSocket: true });
  for (let round = 0; round < rounds; round++) {
    progress(`relayed tunnel, round ${round + 1} of ${rounds}`);
    for (const direction of ["up", "down"] as const) {
      const goal = { better: "higher", target: TARGET_GBIT } as const;
      const viaRaw = await raw.measure(direction, seconds);
      const viaWebSocket = await webSocket.measure(direction, seconds);
      measured.add("through our relay", viaRaw.gbitPerSecond, "Gbit/s", goal);
      measured.add("through our relay, WebSocket", viaWebSocket.gbitPerSecond, "Gbit/s", goal);
    }
  }
  return {
    figures: measured.figures(),
    ratios: measured.against("through our relay, WebSocket", "through our relay"),
    missing: [],
    notes: ["MTU 1280; both engines and the relay share the cores of this machine"],
  };
};

export const relayMemoryBench: Bench = async ({ progress }: BenchOptions) => {
  const measured = new Rounds();
  for (const { name, webSocket, count } of IDLE) {
    progress(`relay memory, ${count} idle ${name} connections`);
    await using relay = new Worker("relay-process.ts", { nodeFlags: ["--expose-gc"] });
    await using clients = new Worker("idle-clients.ts");
    const { port } = await relay.ask<{ port: number }>({ do: "open" });
    await clients.ask({ do: "open", port, webSocket, count: WARM_UP_CONNECTIONS });
    const before = await relay.ask<Memory>({ do: "memory" });
    await clients.ask({ do: "open", port, webSocket, count });
    const after = await relay.ask<Memory>({ do: "memory" });
    if (after.clients - before.clients !== count) throw new Error(`${after.clients} clients, ${count} were opened`);
    const kibOf = (field: keyof Memory): number => (after[field] - before[field]) / count / 1024;
    const goal = { better: "lower", target: TARGET_KIB } as const;
    measured.add(`idle ${name} connection, resident`, kibOf("rss"), "KiB", goal);
    measured.add(`idle ${name} connection, heap`, kibOf("heapUsed"), "KiB", { better: "lower" });
  }
  return {
    figures: measured.figures(),
    ratios: [],
    missing: [],
    notes: ["memory of the kernel for a socket is not in it"],
  };
};

interface Memory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly clients: number;
}
