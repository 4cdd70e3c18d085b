/** A link between two network namespaces with rate, queue, delay and loss of its own (`link.c`), for kernels without netem. */
import { execFileSync } from "node:child_process";
import { Host } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { routeByCubic } from "./hosts.ts";
import { Worker } from "./processes.ts";
import type { Hosts } from "./streams.ts";

/** Bound of our engine's buffers; the kernel's default of 4 MiB is below the longest link's window. */
const BUFFER_BYTES = 16 << 20;
/** The queue of the link is the emulator's: the device's own must never fill. */
const DEVICE_QUEUE_PACKETS = 10_000;

export interface EmulatedPath {
  readonly rttMs: number;
  readonly kbitPerSecond: number;
  /** Packets waiting for the bottleneck; packets beyond this are dropped at the tail. */
  readonly queueBytes: number;
  readonly lossPerMillion: number;
  readonly seed: number;
}

interface LinkCounts {
  readonly delivered: number;
  readonly failed: number;
}

/**
 * Two namespaces and the emulator between them; the kernel's TCP uses CUBIC there, and caches no metrics of earlier
 * connections.
 */
export class EmulatedLink implements Hosts {
  readonly left: Host;
  readonly right: Host;
  readonly #emulator: Worker;
  readonly #device: string;

  static async open(owned: AsyncDisposableStack, program: string): Promise<EmulatedLink> {
    const tag = `${process.pid % 100_000}x${Math.floor(Math.random() * 1000)}`;
    const [left, right] = [new Host(`lnl${tag}`, "192.0.2.1"), new Host(`lnr${tag}`, "192.0.2.2")];
    for (const host of [left, right]) {
      execFileSync("ip", ["netns", "add", host.name]);
      owned.defer(() => void execFileSync("ip", ["netns", "del", host.name]));
    }
    const emulator = owned.use(new Worker("link", { program, realTime: true }));
    const { device } = await emulator.ask<{ device: string }>({ do: "open", left: left.name, right: right.name });
    for (const host of [left, right]) {
      const buffers = `4096 131072 ${BUFFER_BYTES}`;
      host.run("sysctl", "-qw", "net.ipv4.tcp_no_metrics_save=1");
      host.run("sysctl", "-qw", `net.ipv4.tcp_rmem=${buffers}`, `net.ipv4.tcp_wmem=${buffers}`);
      host.run("ip", "addr", "add", `${host.address}/24`, "dev", device);
      host.run("ip", "link", "set", device, "mtu", "1500", "txqueuelen", String(DEVICE_QUEUE_PACKETS), "up");
      routeByCubic(host, "192.0.2.0/24", device);
    }
    return new EmulatedLink(left, right, emulator, device);
  }

  private constructor(left: Host, right: Host, emulator: Worker, device: string) {
    this.left = left;
    this.right = right;
    this.#emulator = emulator;
    this.#device = device;
  }

  /** Applies to each direction. Packets in flight are discarded; the same seed loses the same packets. */
  async set(path: EmulatedPath): Promise<void> {
    await this.#emulator.ask({
      do: "set",
      delayUs: path.rttMs * 500,
      kbitPerSecond: path.kbitPerSecond,
      queueBytes: Math.round(path.queueBytes),
      lossPerMillion: path.lossPerMillion,
      seed: path.seed,
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
