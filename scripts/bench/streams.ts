/** Pairs of stream-peer processes: over UDP, over a relay, or over any route of the operating system. */
import type { Host } from "../../packages/wg-userspace/test/interop/namespaces.ts";
import { Worker } from "./processes.ts";

const [NEAR, FAR] = ["fd7a::1", "fd7a::2"];
const LOOPBACK = "127.0.0.1";

export interface StreamPair extends AsyncDisposable {
  /** One bulk stream, opened by the near side. */
  measure(direction: Direction, seconds: number): Promise<StreamRate>;
  /** Gbit/s of payload from `warmUpSeconds` to `seconds` after the first byte, of a stream that is destroyed then. */
  sample(direction: Direction, warmUpSeconds: number, seconds: number): Promise<number>;
}

export type Direction = "up" | "down";

export interface StreamRate {
  /** Payload, as the receiver counts. */
  readonly gbitPerSecond: number;
  /** CPU time of each process per gigabyte of payload: barely affected by other load on the machine. */
  readonly sender: number;
  readonly receiver: number;
}

interface Finished {
  readonly gbitPerSecond: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
}

export interface EnginePairOptions {
  readonly mtu?: number;
  /** Loopback port of the relay; without it, UDP over loopback. */
  readonly relayPort?: number;
  readonly webSocket?: boolean;
  readonly profileFolder?: string | undefined;
  /** Network namespaces of the two; without them both are on this host, with UDP over loopback. */
  readonly hosts?: Hosts;
  /** Whether to use the native module; by default it is used if there is one. */
  readonly native?: boolean;
  /** See {@link Worker}. */
  readonly realTime?: boolean;
  /** Program of another implementation that answers as stream-peer.ts does. */
  readonly program?: string;
}

export interface Hosts {
  readonly left: Host;
  readonly right: Host;
}

/** Two engines in two processes. */
export async function enginePair(options: EnginePairOptions = {}): Promise<StreamPair> {
  const { profileFolder, hosts, native, realTime = false, program, ...engine } = options;
  await using opened = new AsyncDisposableStack();
  const start = (host: Host | undefined): Worker =>
    opened.use(
      new Worker("stream-peer.ts", {
        profileFolder,
        realTime,
        namespace: host?.name,
        environment: native === undefined ? undefined : { CODER_NO_NATIVE: native ? "" : "1" },
        program,
      }),
    );
  const [near, far] = [start(hosts?.left), start(hosts?.right)];
  const [nearHost, farHost] = [hosts?.left.address ?? LOOPBACK, hosts?.right.address ?? LOOPBACK];
  const nearSide = await near.ask<PublicSide>({ do: "openEngine", address: NEAR, ...engine });
  const farSide = await far.ask<PublicSide>({ do: "openEngine", address: FAR, ...engine });
  if (native === true && nearSide.native !== true) throw new Error("the native module does not load");
  await near.ask({ do: "peer", address: FAR, udpHost: farHost, ...farSide });
  await far.ask({ do: "peer", address: NEAR, udpHost: nearHost, ...nearSide });
  return pairOf(near, far, opened.move(), () => near.ask({ do: "connectTunnel", to: FAR }));
}

interface PublicSide {
  readonly publicKey: string;
  readonly udpPort?: number;
  readonly native?: boolean;
}

/** Two plain sockets; `through` is where the near side connects to, given the port on which the far side listens. */
export async function plainPair(
  options: {
    readonly listenHost: string;
    readonly hosts?: Hosts;
    readonly realTime?: boolean;
  },
  through: (farPort: number) => Promise<{ readonly host: string; readonly port: number }>,
): Promise<StreamPair> {
  await using opened = new AsyncDisposableStack();
  const start = (host: Host | undefined): Worker =>
    opened.use(
      new Worker("stream-peer.ts", {
        namespace: host?.name,
        realTime: options.realTime === true,
      }),
    );
  const [near, far] = [start(options.hosts?.left), start(options.hosts?.right)];
  const { port } = await far.ask<{ port: number }>({ do: "listen", host: options.listenHost });
  const target = await through(port);
  return pairOf(near, far, opened.move(), () => near.ask({ do: "connectPlain", ...target }));
}

function pairOf(near: Worker, far: Worker, owned: AsyncDisposableStack, connect: () => Promise<unknown>): StreamPair {
  const open = async (direction: Direction): Promise<[sender: Worker, receiver: Worker]> => {
    await connect();
    await far.ask({ do: "accepted" });
    return direction === "up" ? [near, far] : [far, near];
  };
  return {
    async sample(direction, warmUpSeconds, seconds) {
      const [sender, receiver] = await open(direction);
      await sender.ask({ do: "flood" });
      const { gbitPerSecond } = await receiver.ask<Finished>({ do: "sample", warmUpSeconds, seconds });
      await sender.ask({ do: "cut" });
      return gbitPerSecond;
    },
    async measure(direction, seconds) {
      const [sender, receiver] = await open(direction);
      await receiver.ask({ do: "begin", role: "receive" });
      await sender.ask({ do: "begin", role: "send", seconds });
      const received = await receiver.ask<Finished>({ do: "finish" });
      const sent = await sender.ask<Finished>({ do: "finish" });
      if (received.bytes !== sent.bytes) throw new Error(`${received.bytes} of ${sent.bytes} bytes arrived`);
      const cpuPerGigabyte = ({ cpuSeconds }: Finished): number => (cpuSeconds * 1e9) / sent.bytes;
      return {
        gbitPerSecond: received.gbitPerSecond,
        sender: cpuPerGigabyte(sent),
        receiver: cpuPerGigabyte(received),
      };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
