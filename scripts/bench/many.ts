/**
 * Two many-peer processes, joined by our tunnel or by alternatives: many streams, many peers, small requests beside
 * bulk.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "./processes.ts";
import { openSshForward } from "./ssh-forward.ts";
import { wireguardGoPair } from "./wireguard-go.ts";

/** Not counted, since windows and buffers grow during this time. */
const WARM_UP_MS = 600;

export type Direction = "up" | "down";

export interface Many extends AsyncDisposable {
  /** Gbit/s of all streams together. */
  rate(streams: number, direction: Direction, seconds: number): Promise<number>;
  /** Round trips of small requests in ms, with a bulk stream beside them or without. */
  ask(seconds: number, beside?: Direction): Promise<{ readonly p50: number; readonly p99: number }>;
}

/** `clients` engines in one process, each a peer of the one engine in the other. */
export async function manyEngines(
  options: { readonly clients?: number; readonly native?: boolean } = {},
): Promise<Many> {
  await using owned = new AsyncDisposableStack();
  const { near, far } = workers(owned, options);
  await introduce(near, far, options.clients ?? 1);
  return manyOf(near, far, owned.move());
}

/** KiB of the far engine per peer, between `few` and `many` of them. */
export interface Kept {
  readonly few: number;
  readonly many: number;
}

/** Cost of a peer that never sends anything. */
export async function idlePeerKib(few: number, many: number): Promise<Kept> {
  await using owned = new AsyncDisposableStack();
  const { far } = workers(owned, { collect: true });
  await far.ask({ do: "openEngines", addresses: [SERVER] });
  return await kept(far, few, many, (count) => far.ask({ do: "strangers", count }));
}

/** Cost of an open, idle stream. */
export async function idleStreamKib(few: number, many: number): Promise<Kept> {
  await using owned = new AsyncDisposableStack();
  const { near, far } = workers(owned, { collect: true });
  await introduce(near, far, 1);
  return await kept(far, few, many, (count) => near.ask({ do: "quiet", count }));
}

async function kept(far: Worker, few: number, many: number, add: (count: number) => Promise<unknown>): Promise<Kept> {
  const held = async (): Promise<number> => (await far.ask<{ held: number }>({ do: "held" })).held;
  await add(10); // excludes what the first ones load and compile
  const none = await held();
  await add(few);
  const some = await held();
  await add(many - few);
  return { few: (some - none) / few / 1024, many: ((await held()) - none) / many / 1024 };
}

/** One TCP connection of OpenSSH for all streams. */
export async function manyBySsh(cipher: string): Promise<Many> {
  await using owned = new AsyncDisposableStack();
  const { near, far } = workers(owned);
  const { port } = await far.ask<{ port: number }>({ do: "listen", host: "127.0.0.1" });
  const forward = owned.use(await openSshForward(cipher, port));
  await near.ask({ do: "target", host: forward.host, port: forward.port });
  return manyOf(near, far, owned.move());
}

export async function manyByWireguardGo(): Promise<Many> {
  await using owned = new AsyncDisposableStack();
  const pair = owned.use(await wireguardGoPair());
  const { near, far } = workers(owned, { namespaces: [pair.hosts.left.name, pair.hosts.right.name] });
  const { port } = await far.ask<{ port: number }>({ do: "listen", host: "::" });
  await near.ask({ do: "target", host: pair.farAddress, port });
  return manyOf(near, far, owned.move());
}

const SERVER = "fd7a::2";

/** Opens `count` engines in the near process and one in the far one, and gives them each other's keys. */
async function introduce(near: Worker, far: Worker, count: number): Promise<void> {
  const addresses = Array.from({ length: count }, (_, i) => `fd7a::1:${(i + 1).toString(16)}`);
  interface Opened {
    readonly engines: readonly { readonly key: string; readonly port: number }[];
  }
  const clients = await near.ask<Opened>({ do: "openEngines", addresses });
  const server = await far.ask<Opened>({ do: "openEngines", addresses: [SERVER] });
  await near.ask({ do: "peers", peers: server.engines.map((engine) => ({ address: SERVER, ...engine })) });
  await far.ask({ do: "peers", peers: clients.engines.map((engine, i) => ({ address: addresses[i], ...engine })) });
  await near.ask({ do: "target", tunnel: SERVER });
}

function workers(
  owned: AsyncDisposableStack,
  options: {
    readonly native?: boolean;
    readonly collect?: boolean;
    readonly namespaces?: readonly [string, string];
  } = {},
): { near: Worker; far: Worker } {
  const start = (index: 0 | 1): Worker =>
    owned.use(
      new Worker("many-peer.ts", {
        environment: options.native === false ? { CODER_NO_NATIVE: "1" } : undefined,
        nodeFlags: options.collect === true ? ["--expose-gc"] : undefined,
        namespace: options.namespaces?.[index],
      }),
    );
  return { near: start(0), far: start(1) };
}

function manyOf(near: Worker, far: Worker, owned: AsyncDisposableStack): Many {
  const begin = async (streams: number, direction: Direction): Promise<void> => {
    await near.ask({ do: "bulk", streams, direction });
    await sleep(WARM_UP_MS);
  };
  return {
    async rate(streams, direction, seconds) {
      const receiver = direction === "up" ? far : near;
      await begin(streams, direction);
      const before = await receiver.ask<Count>({ do: "count" });
      await sleep(seconds * 1000);
      const after = await receiver.ask<Count>({ do: "count" });
      await near.ask({ do: "end" });
      return ((after.received - before.received) * 8) / (after.atMs - before.atMs) / 1e6;
    },
    async ask(seconds, beside) {
      if (beside !== undefined) await begin(1, beside);
      const answer = await near.ask<{ p50: number; p99: number; count: number }>({ do: "ask", seconds, pauseMs: 2 });
      if (beside !== undefined) await near.ask({ do: "end" });
      return answer;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Count {
  readonly received: number;
  readonly atMs: number;
}
