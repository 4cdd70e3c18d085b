/** One of our flows and one of textbook CUBIC behind the same bottleneck, in virtual time. */
import { instant } from "../../src/base/instant.ts";
import { Link } from "../../src/testing/link.ts";
import { CubicReference } from "./cubic-reference.ts";
import { Lane } from "./shared-link.ts";
import { type HostOptions, Pair } from "./tcp-harness.ts";

const MTU = 1280;
const HEADERS_BYTES = 72;
const ZEROS = new Uint8Array(65536);

export interface Bottleneck {
  readonly rateBps: number;
  readonly rttMs: number;
  /** Length of the queue in bandwidth-delay products. */
  readonly queue: number;
}

export interface Contest {
  readonly first: "ours" | "cubic";
  readonly hystart: boolean;
  readonly ms: number;
  /** Head start of the first flow. */
  readonly aheadMs: number;
  readonly ours?: HostOptions;
}

/** Over the last two thirds: CUBIC's share of the delivered bytes, and the part of the link that both used. */
export function besideCubic(path: Bottleneck, contest: Contest): { share: number; used: number } {
  const { rateBps, rttMs, queue } = path;
  const delayMs = rttMs / 2;
  const shared = new Link({ rateBps, delayMs, queueBytes: Math.max((queue * rateBps * rttMs) / 8000, 4 * MTU) }, 1);
  const owners = new WeakMap<Uint8Array, Lane>();
  const pair = new Pair([new Lane(shared, owners), { delayMs }], contest.ours);
  let received = 0;
  const startedAt = pair.now;
  const oursAt = startedAt + (contest.first === "ours" ? 0 : contest.aheadMs);
  const cubicAt = instant(startedAt + (contest.first === "cubic" ? 0 : contest.aheadMs));
  const cubic = new CubicReference(new Lane(shared, owners), delayMs, MTU, contest.hystart, cubicAt);
  pair.b.stack.listenTcp(
    { port: 80 },
    {
      onRequest: (request) => {
        const connection = request.accept({}, pair.now);
        if (connection === undefined) throw new Error("the connection ended before it was accepted");
        connection.handler.onReadable = () => {
          for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read()) received += chunk.length;
        };
      },
    },
  );

  let connected = false;
  const runUntil = (until: number) => {
    for (;;) {
      const next = Math.min(pair.nextEvent(), cubic.nextEvent(), connected ? Number.POSITIVE_INFINITY : oursAt);
      if (next > until) return;
      pair.now = instant(Math.max(next, pair.now));
      if (!connected && pair.now >= oursAt) {
        connected = true;
        const client = pair.a.stack.connectTcp({ address: pair.b.address, port: 80 }, {}, pair.now);
        const pump = () => {
          while (client.write(ZEROS) === ZEROS.length);
        };
        client.handler.onWritable = pump;
        client.handler.onConnected = pump;
        pair.flush();
      }
      pair.step(pair.now);
      cubic.step(pair.now);
    }
  };
  runUntil(startedAt + contest.ms / 3);
  const ours = received;
  const theirs = cubic.delivered;
  runUntil(startedAt + contest.ms);
  const oursBytes = ((received - ours) * MTU) / (MTU - HEADERS_BYTES);
  const cubicBytes = (cubic.delivered - theirs) * MTU;
  return {
    share: cubicBytes / (oursBytes + cubicBytes),
    used: (oursBytes + cubicBytes) / ((rateBps * ((contest.ms * 2) / 3)) / 8000),
  };
}
