/** Pairs of stream-peer processes: over UDP, over a relay, or over whatever the operating system routes. */
import { Worker } from "./processes.ts";

const [NEAR, FAR] = ["fd7a::1", "fd7a::2"];

export interface StreamPair extends AsyncDisposable {
  /** One bulk stream, opened by the near side. */
  measure(direction: "up" | "down", seconds: number): Promise<StreamRate>;
}

export interface StreamRate {
  /** Payload, as the receiver counts. */
  readonly gbitPerSecond: number;
  /** CPU time of each process for a gigabyte of payload: hardly moved by what else the machine does. */
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
  /** Loopback port of the relay; absent: loopback UDP. */
  readonly relayPort?: number;
  readonly webSocket?: boolean;
  readonly profileFolder?: string | undefined;
}

/** Two engines in two processes. */
export async function enginePair({ profileFolder, ...options }: EnginePairOptions = {}): Promise<StreamPair> {
  await using opened = new AsyncDisposableStack();
  const near = opened.use(new Worker("stream-peer.ts", { profileFolder }));
  const far = opened.use(new Worker("stream-peer.ts", { profileFolder }));
  const nearKey = await near.ask<PublicSide>({ do: "openEngine", address: NEAR, ...options });
  const farKey = await far.ask<PublicSide>({ do: "openEngine", address: FAR, ...options });
  await near.ask({ do: "peer", address: FAR, ...farKey });
  await far.ask({ do: "peer", address: NEAR, ...nearKey });
  return pairOf(near, far, opened.move(), () => near.ask({ do: "connectTunnel", to: FAR }));
}

interface PublicSide {
  readonly publicKey: string;
  readonly udpPort?: number;
}

/** Two plain sockets; `through` is where the near side connects to, given the port on which the far side listens. */
export async function plainPair(
  options: {
    readonly listenHost: string;
    readonly namespaces?: readonly [near: string, far: string];
  },
  through: (farPort: number) => Promise<{ readonly host: string; readonly port: number }>,
): Promise<StreamPair> {
  await using opened = new AsyncDisposableStack();
  const [nearSpace, farSpace] = options.namespaces ?? [];
  const near = opened.use(new Worker("stream-peer.ts", nearSpace === undefined ? {} : { namespace: nearSpace }));
  const far = opened.use(new Worker("stream-peer.ts", farSpace === undefined ? {} : { namespace: farSpace }));
  const { port } = await far.ask<{ port: number }>({ do: "listen", host: options.listenHost });
  const target = await through(port);
  return pairOf(near, far, opened.move(), () => near.ask({ do: "connectPlain", ...target }));
}

function pairOf(near: Worker, far: Worker, owned: AsyncDisposableStack, connect: () => Promise<unknown>): StreamPair {
  return {
    async measure(direction, seconds) {
      await connect();
      await far.ask({ do: "accepted" });
      const [sender, receiver] = direction === "up" ? [near, far] : [far, near];
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
