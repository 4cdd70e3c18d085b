import { beforeEach, describe, expect, it } from "vitest";
import { type Instant, instant } from "../../base/instant.ts";
import { type AddrPort, ip } from "../../base/ip.ts";
import { ACK, RST, TcpSegment } from "../wire/tcp.ts";
import type { TcpConnection } from "./connection.ts";
import type { PendingRequest, TcpRequest } from "./listener.ts";
import { SynBacklog } from "./syn-backlog.ts";

const TIMEOUT_MS = 5_000;
const local: AddrPort = { address: ip("10.0.0.1"), port: 80 };
const now = instant(1_000);

function remote(port: number): AddrPort {
  return { address: ip("10.0.0.2"), port };
}

function segment(fields: Partial<TcpSegment>): TcpSegment {
  return Object.assign(new TcpSegment(), { flags: 0, seq: 0, ack: 0 }, fields);
}

let isFull: boolean;
/** What the stack was asked to do. */
let calls: string[];
let table: Set<PendingRequest>;
let requests: TcpRequest[];
let backlog: SynBacklog;

const handler = { onRequest: (request: TcpRequest): void => void requests.push(request) };

beforeEach(() => {
  isFull = false;
  calls = [];
  table = new Set();
  requests = [];
  backlog = new SynBacklog({
    requestTimeoutMs: TIMEOUT_MS,
    backlog: 2,
    isFull: () => isFull,
    addRequest: (request) => void table.add(request),
    removeRequest: (request) => void table.delete(request),
    open: (request, _options, at) => {
      calls.push(`open ${request.remote.port} at ${at}, pending ${request.backlog.pending}`);
      return { backlog: undefined } as TcpConnection;
    },
    refuse: (request) => void calls.push(`refuse ${request.remote.port} with ${request.irs}`),
  });
});

function syn(port: number, at: Instant = now): string | undefined {
  return backlog.handleSyn(local, remote(port), segment({ seq: 10 * port, mss: 1_200, window: 4_000 }), at);
}

describe("a SYN", () => {
  it("without a listener is left to the caller", () => {
    expect(syn(1)).toBe("no-socket");
    backlog.listen({ port: 81 }, handler);
    backlog.listen({ port: 80, address: ip("10.0.0.9") }, handler);
    expect(syn(1)).toBe("no-socket");
    expect([table.size, requests]).toEqual([0, []]);
  });

  it("becomes a request that holds what the SYN announced", () => {
    backlog.listen({ port: 80 }, handler);
    expect(syn(7)).toBeUndefined();
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({ local, remote: remote(7), irs: 70, mss: 1_200, window: 4_000 });
    expect([...table]).toEqual(requests);
  });

  it("goes to the fallback when the port has no listener, until the fallback is taken away", () => {
    backlog.setFallback(handler);
    expect(syn(1)).toBeUndefined();
    const ofListener: TcpRequest[] = [];
    const listener = backlog.listen({ port: 80 }, { onRequest: (request) => void ofListener.push(request) });
    syn(2);
    listener.close();
    syn(3);
    backlog.setFallback(undefined);
    expect(syn(4)).toBe("no-socket");
    expect([requests.map((request) => request.remote.port), ofListener.map((request) => request.remote.port)]).toEqual([
      [1, 3],
      [2],
    ]);
  });

  it("is dropped when the listener's backlog or the table is full", () => {
    backlog.listen({ port: 80 }, handler);
    backlog.listen({ port: 81, backlog: 1 }, handler);
    expect([syn(1), syn(2), syn(3)]).toEqual([undefined, undefined, "queue-full"]);
    const other = { ...local, port: 81 };
    expect(backlog.handleSyn(other, remote(4), segment({}), now)).toBeUndefined();
    expect(backlog.handleSyn(other, remote(5), segment({}), now)).toBe("queue-full");
    requests[0]!.reject(now);
    isFull = true;
    expect(syn(6)).toBe("queue-full");
    isFull = false;
    expect(syn(6)).toBeUndefined();
  });
});

describe("a request", () => {
  beforeEach(() => {
    backlog.listen({ port: 80 }, handler);
    syn(1);
  });

  it("accepted leaves the table and keeps its place in the backlog for the handshake", () => {
    const connection = requests[0]!.accept({}, instant(1_500));
    expect(calls).toEqual(["open 1 at 1500, pending 1"]);
    expect(table.size).toBe(0);
    expect(connection!.backlog).toMatchObject({ pending: 1 });
    syn(2);
    expect(syn(3)).toBe("queue-full");
    connection!.backlog!.pending--;
    expect(syn(3)).toBeUndefined();
  });

  it("is decided once", () => {
    requests[0]!.accept({}, now);
    expect(requests[0]!.accept({}, now)).toBeUndefined();
    requests[0]!.reject(now);
    expect(calls).toEqual(["open 1 at 1000, pending 1"]);
  });

  it("refused is reset and makes room", () => {
    syn(2);
    requests[0]!.reject(now);
    expect([calls, table.size, syn(3)]).toEqual([["refuse 1 with 10"], 1, undefined]);
    expect(requests[0]!.accept({}, now)).toBeUndefined();
  });

  it("ends without an answer when the peer resets it with the expected number, and only then", () => {
    const [request] = [...table];
    expect(backlog.handleSegment(request!, segment({ flags: ACK, seq: 11 }))).toBeUndefined();
    expect(backlog.handleSegment(request!, segment({ flags: RST, seq: 10 }))).toBe("out-of-window");
    expect([table.size, request!.decided]).toEqual([1, false]);
    expect(backlog.handleSegment(request!, segment({ flags: RST | ACK, seq: 11 }))).toBeUndefined();
    expect([table.size, request!.decided, request!.backlog.pending, calls]).toEqual([0, true, 0, []]);
    expect(backlog.nextTimeout()).toBeUndefined();
  });

  it("undecided is refused after its time, oldest first", () => {
    syn(2, instant(2_000));
    expect(backlog.nextTimeout()).toBe(6_000);
    backlog.handleTimeout(instant(5_999));
    expect(calls).toEqual([]);
    backlog.handleTimeout(instant(6_000));
    expect([calls, backlog.nextTimeout()]).toEqual([["refuse 1 with 10"], 7_000]);
    backlog.handleTimeout(instant(9_000));
    expect([calls, backlog.nextTimeout(), table.size]).toEqual([
      ["refuse 1 with 10", "refuse 2 with 20"],
      undefined,
      0,
    ]);
  });
});

it("listens once per port and address", () => {
  backlog.listen({ port: 80 }, handler);
  const exact = backlog.listen({ port: 80, address: local.address }, handler);
  expect(() => backlog.listen({ port: 80 }, handler)).toThrow("TCP port 80 has a listener");
  expect(() => backlog.listen({ port: 0 }, handler)).toThrow("port 0 is not between 1 and 65535");
  exact.close();
  exact.close();
  backlog.listen({ port: 80, address: local.address }, handler);
});
