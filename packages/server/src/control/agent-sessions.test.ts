import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DatabaseAway } from "../db/postgres/failures.ts";
import { AgentSessions, type AgentSessionsOptions } from "./agent-sessions.ts";
import { type OpenSocket, OpenSockets, type SessionPlan } from "./open-socket.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** One agent. Its arrival is stored when `stored` resolves, after `holds` has confirmed its token. */
class Arrival {
  readonly stored = Promise.withResolvers<void>();
  readonly over = new AbortController();
  readonly ends: string[] = [];
  connected = 0;
  holds: () => Promise<boolean> = async () => true;
  readonly heartbeats: string[] = [];
  readonly disconnected: string[] = [];
  session: SessionPlan | undefined;
  readonly #sessions = new AgentSessions({
    sockets: {
      open: new OpenSockets(),
      throwRefusal: () => undefined,
      serve: (_request: unknown, _socket: unknown, _head: unknown, session: SessionPlan) => {
        this.session = session;
        return { over: this.over.signal, end: (reason) => this.ends.push(reason) } as Partial<OpenSocket>;
      },
    },
    authenticator: {
      authenticateAgent: async () => ({ agent: { id: "a" }, workspace: {}, owner: { id: "o" } }),
      agentStillHolds: () => this.holds(),
    },
    agentState: {
      connected: () => {
        this.connected++;
        return this.stored.promise;
      },
      heartbeat: async (id: string) => void this.heartbeats.push(id),
      disconnected: async (id: string) => void this.disconnected.push(id),
    },
    reports: { forget: () => undefined },
    clientAddress: () => "192.0.2.1",
    log: { error: () => undefined },
  } as unknown as AgentSessionsOptions);

  async comes(): Promise<void> {
    const request = { url: "/api/v2/workspaceagents/me/rpc?version=2.1" } as IncomingMessage;
    await this.#sessions.route.handle(request, {} as Duplex, Buffer.alloc(0));
  }

  async closes(isLast: boolean): Promise<void> {
    this.over.abort();
    await this.session?.onClosed?.(isLast);
  }
}

test("an agent that is connected has a heartbeat until its connection is over", async () => {
  const arrival = new Arrival();
  arrival.stored.resolve();
  await arrival.comes();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(arrival.heartbeats.length).toBeGreaterThan(1);
  await arrival.closes(true);
  const before = arrival.heartbeats.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([arrival.heartbeats.length, arrival.disconnected]).toEqual([before, ["a"]]);
  expect(vi.getTimerCount()).toBe(0);
});

test("an agent that is gone before its arrival is stored has no heartbeat", async () => {
  const arrival = new Arrival();
  const comes = arrival.comes();
  await vi.waitUntil(() => arrival.session !== undefined);
  await arrival.closes(true);
  arrival.stored.resolve();
  await comes;
  await vi.advanceTimersByTimeAsync(60_000);
  expect([arrival.heartbeats, vi.getTimerCount()]).toEqual([[], 0]);
});

test("an agent whose connection was replaced by another stays connected", async () => {
  const arrival = new Arrival();
  arrival.stored.resolve();
  await arrival.comes();
  await arrival.closes(false);
  expect([arrival.disconnected, vi.getTimerCount()]).toEqual([[], 0]);
});

test("an agent that is gone before its token is looked up again is not stored as connected", async () => {
  const arrival = new Arrival();
  arrival.stored.resolve();
  const holds = Promise.withResolvers<boolean>();
  arrival.holds = () => holds.promise;
  const comes = arrival.comes();
  await vi.waitUntil(() => arrival.session !== undefined);
  await arrival.closes(true);
  holds.resolve(true);
  await comes;
  expect([arrival.connected, arrival.disconnected, vi.getTimerCount()]).toEqual([0, ["a"], 0]);
});

test("an agent's connection stays open while the database is away", async () => {
  const arrival = new Arrival();
  arrival.stored.resolve();
  let isAway = true;
  arrival.holds = async () => {
    if (isAway) throw new DatabaseAway(undefined);
    return true;
  };
  const comes = arrival.comes();
  await vi.advanceTimersByTimeAsync(30_000);
  expect([arrival.ends, arrival.connected]).toEqual([[], 0]);
  isAway = false;
  await vi.advanceTimersByTimeAsync(30_000);
  await comes;
  expect([arrival.ends, arrival.connected]).toEqual([[], 1]);
  await arrival.closes(true);
});
