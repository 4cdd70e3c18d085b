/** Bulk transfers over a path of 100 Mbit/s in virtual time, and the capacity of such a path. */
import type { TcpConnection } from "../../src/netstack/stack.ts";
import { Link, type LinkOptions } from "../../src/testing/link.ts";
import { Pair } from "./tcp-harness.ts";

const MTU = 1280;
const RATE_BPS = 100e6;
/** Payload of a full segment: without headers of IPv6 and TCP with timestamps. */
const PAYLOAD_BYTES = MTU - 72;
const INITIAL_WINDOW_SEGMENTS = 10;
const ZEROS = new Uint8Array(65536);

/** 100 Mbit/s with a queue of `queueBdp` bandwidth-delay products. */
export function path(rttMs: number, queueBdp: number, more: LinkOptions = {}): LinkOptions {
  return { rateBps: RATE_BPS, delayMs: rttMs / 2, queueBytes: (queueBdp * RATE_BPS * rttMs) / 8000, ...more };
}

/** Payload per ms of a path in full use. */
export function payloadRate(link: LinkOptions): number {
  return (link.rateBps! * PAYLOAD_BYTES) / MTU / 8000;
}

/** Payload that arrives in the first `ms` when each round trip doubles the rate until the path is full. */
export function possible(link: LinkOptions, ms: number): number {
  const rttMs = 2 * link.delayMs!;
  let bytes = 0;
  for (let t = Math.ceil(rttMs / 2); t < ms; t++) {
    const rounds = Math.min(Math.floor((t - rttMs / 2) / rttMs), 40);
    bytes += Math.min((INITIAL_WINDOW_SEGMENTS * PAYLOAD_BYTES * 2 ** rounds) / rttMs, payloadRate(link));
  }
  return bytes;
}

export function sendForever(connection: TcpConnection): void {
  const pump = () => {
    while (connection.write(ZEROS) === ZEROS.length);
  };
  connection.handler.onWritable = pump;
  pump();
}

export class Sink {
  received = 0;
  constructor(connection: TcpConnection) {
    connection.handler.onReadable = () => {
      for (let chunk = connection.read(); chunk !== undefined; chunk = connection.read()) this.received += chunk.length;
    };
  }
}

/** A bulk transfer of ten seconds. @returns payload from `fromMs` on. */
export function transfer(link: LinkOptions | Link, seed = 1, fromMs = 0): { bytes: number; queueDrops: number } {
  const back = link instanceof Link ? link.options : link;
  const pair = new Pair([link, { ...back, rateBps: Number.POSITIVE_INFINITY }], { seed });
  const [a, b] = pair.connect();
  sendForever(a);
  const sink = new Sink(b);
  pair.runFor(fromMs);
  const before = sink.received;
  pair.runFor(10_000 - fromMs);
  return { bytes: sink.received - before, queueDrops: pair.ab.queueDrops };
}
