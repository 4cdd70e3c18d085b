import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { NON_BROWSER_REFUSED } from "coder-protocol/browser-only";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DomainError } from "../base/domain-error.ts";
import { DatabaseAway } from "../db/postgres/failures.ts";
import { ClientSessions, type ClientSessionsOptions } from "./client-sessions.ts";
import { ACCESS_REVOKED } from "./open-socket.ts";

const AGENT = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A client of user Ada for one agent, after its handshake is answered. `look` checks again whether it may be connected. */
function arrival(look: (what: "login" | "policy") => Promise<boolean>) {
  const ends: string[] = [];
  const failures: unknown[] = [];
  const over = new AbortController();
  let isOpen = false;
  const sessions = new ClientSessions({
    sockets: {
      throwRefusal: () => undefined,
      serve: () => {
        isOpen = true;
        return { over: over.signal, end: (reason: string) => ends.push(reason) };
      },
    },
    authenticator: {
      authenticateUser: async () => ({ user: { id: "ada" }, key: { id: "k" } }),
      reachableWorkspaceOf: async () => ({ id: "w" }),
      held: async () => ((await look("login")) ? { user: { id: "ada" }, workspace: { id: "w" } } : undefined),
    },
    ownClient: { isSender: () => false, isMarked: () => false },
    connectionPolicies: {
      refusalAt: async () => (!isOpen || (await look("policy")) ? undefined : new DomainError("browser-only", "no")),
    },
    rights: { seal: () => new Uint8Array() },
    clientAddress: () => "192.0.2.1",
    log: { error: ({ err }: { readonly err: unknown }) => failures.push(err) },
  } as unknown as ClientSessionsOptions);
  const request = { url: `/api/v2/workspaceagents/${AGENT}/coordinate?version=2.1`, headers: {} } as IncomingMessage;
  const done = sessions.routes[0]!.handle(request, {} as Duplex, Buffer.alloc(0));
  return { ends, failures, over, done };
}

test.each([
  ["login", ACCESS_REVOKED],
  ["policy", NON_BROWSER_REFUSED],
])("a client whose right ended during the handshake is ended: %s", async (gone, reason) => {
  const { ends, done } = arrival(async (what) => what !== gone);
  await done;
  expect(ends).toEqual([reason]);
});

test.each(["login", "policy"])("the database is waited for once the handshake is answered: %s", async (unknown) => {
  let isAway = true;
  const { ends, failures, done } = arrival(async (what) => {
    if (isAway && what === unknown) throw new DatabaseAway(undefined);
    return what !== unknown;
  });
  await vi.advanceTimersByTimeAsync(30_000);
  expect(ends).toEqual([]);
  isAway = false;
  await vi.advanceTimersByTimeAsync(30_000);
  await done;
  expect([ends.length, failures, vi.getTimerCount()]).toEqual([1, [], 0]);
});

test("another failure ends the client", async () => {
  const { ends, failures, done } = arrival(() => Promise.reject(new DomainError("forbidden", "no")));
  await done;
  expect([ends, failures]).toEqual([["access could not be looked up"], [new DomainError("forbidden", "no")]]);
});

test("nothing waits for the database once the client is gone", async () => {
  const { ends, failures, over, done } = arrival(() => Promise.reject(new DatabaseAway(undefined)));
  await vi.advanceTimersByTimeAsync(30_000);
  over.abort();
  await done;
  expect([ends, failures, vi.getTimerCount()]).toEqual([[], [], 0]);
});
