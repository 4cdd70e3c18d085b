/**
 * The share of a link that one bulk stream reaches, by round trip and random loss: our engine next to the kernel's TCP
 * with CUBIC on the same emulated link in the same run.
 */
import { execFileSync } from "node:child_process";
import { Host } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { hostsNeeds, routeByCubic } from "./hosts.ts";
import { Worker } from "./processes.ts";
import { cProgram } from "./programs.ts";
import { type Bench, Rounds } from "./report.ts";
import { enginePair, type Hosts, plainPair, type StreamPair } from "./streams.ts";

const KBIT_PER_SECOND = 100_000;
/** With time for slow start, and for CUBIC to find its way after it. */
const TRIPS = [
  { ms: 20, warmUpSeconds: 1, seconds: 3 },
  { ms: 100, warmUpSeconds: 2.5, seconds: 5 },
  { ms: 300, warmUpSeconds: 6, seconds: 10.5 },
];
const LOSSES_PER_MILLION = [0, 1_000, 10_000];
const QUEUE_MIN_BYTES = 100 * 1500;
/** Six minutes. */
const MAX_ROUNDS = 3;
/** What our engine's buffers may grow to; the kernel's usual 4 MiB would end it below the longest link's window. */
const BUFFER_BYTES = 16 << 20;
/** The queue of the link is the emulator's: the device's own must never fill. */
const DEVICE_QUEUE_PACKETS = 10_000;

export const linksBench: Bench = async ({ rounds, progress }) => {
  const measured = new Rounds();
  const missing: string[] = [];
  await using owned = new AsyncDisposableStack();
  const needs = hostsNeeds();
  const emulator = needs.length > 0 ? { missing: needs.join(", ") } : await cProgram("link", "link.c");
  if ("missing" in emulator) missing.push(`all of it: needs ${emulator.missing}`);
  const link = "path" in emulator ? await Link.open(owned, emulator.path) : undefined;
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
          await link.set({ ms, lossPerMillion, seed: round + 1 });
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

interface LinkCounts {
  readonly delivered: number;
  readonly failed: number;
}

/** Two namespaces and the emulator between them. */
class Link implements Hosts {
  readonly left: Host;
  readonly right: Host;
  readonly #emulator: Worker;
  readonly #device: string;

  static async open(owned: AsyncDisposableStack, program: string): Promise<Link> {
    const tag = `${process.pid % 100_000}x${Math.floor(Math.random() * 1000)}`;
    const [left, right] = [new Host(`lnl${tag}`, "192.0.2.1"), new Host(`lnr${tag}`, "192.0.2.2")];
    for (const host of [left, right]) {
      execFileSync("ip", ["netns", "add", host.name]);
      owned.defer(() => void execFileSync("ip", ["netns", "del", host.name]));
    }
    const emulator = owned.use(new Worker("link", { program }));
    const { device } = await emulator.ask<{ device: string }>({ do: "open", left: left.name, right: right.name });
    for (const host of [left, right]) {
      const buffers = `4096 131072 ${BUFFER_BYTES}`;
      host.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1");
      host.run("sysctl", "-qw", `net.ipv4.tcp_rmem=${buffers}`, `net.ipv4.tcp_wmem=${buffers}`);
      host.run("ip", "addr", "add", `${host.address}/24`, "dev", device);
      host.run("ip", "link", "set", device, "mtu", "1500", "txqueuelen", String(DEVICE_QUEUE_PACKETS), "up");
      routeByCubic(host, "192.0.2.0/24", device);
    }
    return new Link(left, right, emulator, device);
  }

  private constructor(left: Host, right: Host, emulator: Worker, device: string) {
    this.left = left;
    this.right = right;
    this.#emulator = emulator;
    this.#device = device;
  }

  /** What is under way is gone; the same seed loses the same packets. */
  async set(link: { readonly ms: number; readonly lossPerMillion: number; readonly seed: number }): Promise<void> {
    const product = (KBIT_PER_SECOND * link.ms) / 8;
    await this.#emulator.ask({
      do: "set",
      delayUs: link.ms * 500,
      kbitPerSecond: KBIT_PER_SECOND,
      queueBytes: Math.max(product, QUEUE_MIN_BYTES),
      lossPerMillion: link.lossPerMillion,
      seed: link.seed,
    });
  }

  /** Throws when packets were lost elsewhere than in the model. */
  async check(): Promise<void> {
    const { delivered, failed } = await this.#emulator.ask<LinkCounts>({ do: "counts" });
    const dropped = [this.left, this.right].map((host) =>
      Number(host.run("cat", `/sys/class/net/${this.#device}/statistics/tx_dropped`)),
    );
    if (delivered === 0 || failed > 0 || dropped.some((count) => count > 0)) {
      throw new Error(`the emulator delivered ${delivered} packets, not ${failed}; the devices dropped ${dropped}`);
    }
  }
}
