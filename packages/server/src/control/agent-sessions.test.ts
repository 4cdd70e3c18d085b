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

/** One agent at one server. `log` has what is stored about its connections, which are named A, B, … in the order of their ids. */
class OneAgent implements AsyncDisposable {
  readonly log: string[] = [];
  readonly ends: string[] = [];
  /** The result of storing a connection. */
  connected: () => Promise<boolean> = async () => true;
  /** The result of storing a heartbeat: whether the database describes this connection. */
  isStored = true;
  isHere = true;
  readonly #letters = new Map<string, string>();
  readonly #open: { readonly over: AbortController; readonly session: SessionPlan; isOpen: boolean }[] = [];
  readonly #sessions = new AgentSessions({
    sockets: {
      open: new OpenSockets(),
      throwRefusal: () => undefined,
      serve: (_request: unknown, _socket: unknown, _head: unknown, session: SessionPlan) => {
        const over = new AbortController();
        this.#open.push({ over, session, isOpen: true });
        return { over: over.signal, end: (reason) => this.ends.push(reason) } as Partial<OpenSocket>;
      },
    },
    authenticator: {
      authenticateAgent: async () => ({ agent: { id: "a", connection_id: "" }, workspace: {}, owner: { id: "o" } }),
    },
    agentState: {
      connected: (_id: string, _version: string, connection: string) => {
        this.#note("connected", connection);
        return this.connected();
      },
      heartbeat: async (_id: string, connection: string) => {
        this.#note("heard", connection);
        return this.isStored;
      },
      disconnected: async (_id: string, connection: string) => this.#note("disconnected", connection),
    },
    reports: { forget: () => undefined },
    coordinator: { isConnected: () => this.isHere },
    clock: { now: () => Date.now() },
    clientAddress: () => "192.0.2.1",
    log: { error: () => undefined },
  } as unknown as AgentSessionsOptions);

  async comes(): Promise<void> {
    const request = { url: "/api/v2/workspaceagents/me/rpc?version=2.1" } as IncomingMessage;
    await this.#sessions.route.handle(request, {} as Duplex, Buffer.alloc(0));
  }

  /** @param at The index of the connection. */
  async closes(at = 0): Promise<void> {
    const closed = this.#open[at]!;
    closed.isOpen = false;
    closed.over.abort();
    await closed.session.onClosed?.(this.#open.every(({ isOpen }) => !isOpen));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [at, { isOpen }] of this.#open.entries()) if (isOpen) await this.closes(at);
    expect(vi.getTimerCount()).toBe(0);
  }

  #note(what: string, connection: string): void {
    const letter = this.#letters.get(connection) ?? String.fromCharCode(0x41 + this.#letters.size);
    this.#letters.set(connection, letter);
    this.log.push(`${what} ${letter}`);
  }
}

test("an agent that is connected has a heartbeat until its connection is over", async () => {
  await using agent = new OneAgent();
  await agent.comes();
  await vi.advanceTimersByTimeAsync(30_000);
  await agent.closes();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(agent.log).toEqual(["connected A", "heard A", "heard A", "disconnected A"]);
});

test("an agent that is gone before its arrival is stored has no heartbeat", async () => {
  await using agent = new OneAgent();
  const stored = Promise.withResolvers<boolean>();
  agent.connected = () => stored.promise;
  const comes = agent.comes();
  await vi.waitUntil(() => agent.log.length > 0);
  await agent.closes();
  stored.resolve(true);
  await comes;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(agent.log).toEqual(["connected A", "disconnected A"]);
});

test("the connection of an agent whose token is no longer valid is ended", async () => {
  await using agent = new OneAgent();
  agent.connected = async () => false;
  await agent.comes();
  expect(agent.ends).toEqual(["access revoked"]);
});

test("the end of a connection that another one replaced is not stored", async () => {
  await using agent = new OneAgent();
  await agent.comes();
  await agent.comes();
  await agent.closes(0);
  expect(agent.log).toEqual(["connected A", "connected B"]);
});

test("when the newest connection ends, an older one that is still open is stored in its place", async () => {
  await using agent = new OneAgent();
  await agent.comes();
  await agent.comes();
  await agent.closes(1);
  await agent.closes(0);
  expect(agent.log).toEqual(["connected A", "connected B", "connected C", "disconnected C"]);
});

test("a connection that serves its agent while the database describes another one is stored again", async () => {
  await using agent = new OneAgent();
  await agent.comes();
  agent.isStored = false;
  await vi.advanceTimersByTimeAsync(15_000);
  agent.isStored = true;
  await vi.advanceTimersByTimeAsync(15_000);
  await agent.closes();
  expect(agent.log).toEqual(["connected A", "heard A", "connected B", "heard B", "disconnected B"]);
});

test("a connection whose agent moved to another server is not stored again", async () => {
  await using agent = new OneAgent();
  await agent.comes();
  agent.isStored = false;
  agent.isHere = false;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(agent.log).toEqual(["connected A", "heard A"]);
});

test("a connection stays open while the database is away, and is not stored after it ended", async () => {
  await using agent = new OneAgent();
  agent.connected = async () => {
    throw new DatabaseAway(undefined);
  };
  const comes = agent.comes();
  await vi.advanceTimersByTimeAsync(30_000);
  const attempts = agent.log.filter((line) => line === "connected A").length;
  expect([agent.ends, attempts > 2]).toEqual([[], true]);
  await agent.closes();
  await vi.advanceTimersByTimeAsync(30_000);
  await comes;
  expect(agent.log.slice(attempts)).toEqual(["disconnected A"]);
});

test("a connection is stored when the database is back", async () => {
  await using agent = new OneAgent();
  let isAway = true;
  agent.connected = async () => {
    if (isAway) throw new DatabaseAway(undefined);
    return true;
  };
  const comes = agent.comes();
  await vi.advanceTimersByTimeAsync(10_000);
  isAway = false;
  await vi.advanceTimersByTimeAsync(10_000);
  await comes;
  await vi.advanceTimersByTimeAsync(15_000);
  expect([agent.ends, agent.log.at(-1)]).toEqual([[], "heard A"]);
});
