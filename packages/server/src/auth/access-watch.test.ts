import type { IncomingMessage } from "node:http";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DomainError } from "../base/domain-error.ts";
import { type AccessEvent, AccessEvents } from "./access-events.ts";
import { AccessWatch } from "./access-watch.ts";
import { Authenticator, decidedHolderOf } from "./authenticator.ts";
import { formatUserToken, hashSecret, mintUserToken } from "./tokens.ts";

const RECHECK_MS = 15_000;
/** Turns of promises that each look-up takes. */
const LOOKUP_TICKS = 3;
const TOKEN = mintUserToken();

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** One user with one login, who owns one workspace with one agent. */
function world() {
  const key = {
    id: TOKEN.id,
    user_id: "u",
    secret_hash: hashSecret(TOKEN.secret),
    expires_at: Number.POSITIVE_INFINITY,
    last_used: 0,
    lifetime_seconds: 60,
    login_type: "password",
    scope: "all",
  };
  const state = { hasKey: true, status: "active", role: "member", ownerId: "u", deletedAt: null as number | null };
  const events = new AccessEvents();
  const user = () => ({ id: "u", status: state.status, role: state.role });
  /** Reads in the middle of its turns. */
  async function read<T>(value: () => T): Promise<T> {
    for (let i = 0; i < LOOKUP_TICKS; i++) await Promise.resolve();
    const found = value();
    for (let i = 0; i < LOOKUP_TICKS; i++) await Promise.resolve();
    return found;
  }
  const workspace = () => read(() => ({ id: "w", owner_id: state.ownerId, deleted_at: state.deletedAt }));
  const store = {
    lookups: {
      key: () => read(() => (state.hasKey ? { key: { ...key }, user: user() } : undefined)),
      workspaceOf: workspace,
    },
    apiKeys: { recordUse: () => read(() => undefined) },
    users: { touch: () => read(() => undefined) },
    agents: { byId: () => read(() => ({ id: "a", workspace_id: "w" })) },
    workspaces: { byId: workspace },
    transaction: (use: (tables: unknown) => Promise<unknown>) => use(store),
  };
  const authenticator = new Authenticator({
    store,
    csrfKey: new Uint8Array(32),
    hosts: {},
    secureCookies: () => false,
    clock: { now: () => 1_000_000 },
    events,
  } as unknown as ConstructorParameters<typeof Authenticator>[0]);
  const error = vi.fn();
  const log = { error } as unknown as ConstructorParameters<typeof AccessWatch>[0]["log"];
  const watch = new AccessWatch({ events, authenticator, recheckMs: RECHECK_MS, log });
  const request = {
    method: "GET",
    headers: { "coder-session-token": formatUserToken(TOKEN) },
    url: "/",
  } as unknown as IncomingMessage;

  /** Decides about a socket, and opens it. */
  async function open(lost: () => void): Promise<"refused" | (() => void)> {
    const auth = await authenticator.authenticateUser(request);
    if (auth instanceof DomainError) return "refused";
    if ((await authenticator.canReachAgent(auth.user, "a")) === undefined) return "refused";
    await read(() => undefined); // the handshake
    return watch.start(decidedHolderOf(auth, { agentId: "a" }), { lost });
  }
  return { state, events, open, watch, authenticator, error };
}

type World = ReturnType<typeof world>;

const ENDS: readonly (readonly [string, (state: World["state"]) => void, AccessEvent])[] = [
  ["a logout", (state) => (state.hasKey = false), { kind: "key-revoked", keyId: TOKEN.id, userId: "u" }],
  ["a suspension", (state) => (state.status = "suspended"), { kind: "user-gone", userId: "u" }],
  ["another role", (state) => (state.ownerId = "another"), { kind: "role-changed", userId: "u" }],
  [
    "a deleted workspace",
    (state) => (state.deletedAt = 1),
    { kind: "workspace-deleted", workspaceId: "w", agentIds: ["a"] },
  ],
];

test.each(ENDS)(
  "%s at any moment of the decision refuses the socket or ends it in the same turn",
  async (_, end, event) => {
    const outcomes = new Set<string>();
    for (let moment = 0; ; moment++) {
      const { open, state, events } = world();
      const lost = vi.fn();
      let opened: Awaited<ReturnType<World["open"]>> | undefined;
      const opening = open(lost).then((result) => {
        opened = result;
      });
      for (let i = 0; i < moment; i++) await Promise.resolve();
      const wasOpen = opened !== undefined;
      end(state);
      events.publish(event);
      await opening;
      await Promise.resolve();
      outcomes.add(opened === "refused" ? "refused" : wasOpen ? "ended when open" : "ended when decided");
      expect([moment, opened === "refused" || lost.mock.calls.length === 1]).toEqual([moment, true]);
      if (wasOpen) break;
    }
    // All three were met.
    expect([...outcomes].sort()).toEqual(["ended when decided", "ended when open", "refused"]);
  },
);

test("what was published before the decision, or concerns others, ends nothing", async () => {
  const { open, events } = world();
  events.publish({ kind: "role-changed", userId: "u" });
  const lost = vi.fn();
  const opening = open(lost);
  events.publish({ kind: "key-revoked", keyId: "another", userId: "u" });
  events.publish({ kind: "workspace-stopped", workspaceId: "w", agentIds: ["a"] });
  const stop = await opening;
  await vi.advanceTimersByTimeAsync(RECHECK_MS);
  expect(lost).not.toHaveBeenCalled();
  (stop as () => void)();
  expect(events.listenerCount).toBe(0);
});

test("more events than are remembered cause a check at once", async () => {
  const { open, state, events } = world();
  const lost = vi.fn();
  const opening = open(lost);
  for (let i = 0; i < LOOKUP_TICKS * 8; i++) await Promise.resolve();
  state.hasKey = false;
  for (let i = 0; i < 2_000; i++) events.publish({ kind: "user-gone", userId: `another ${i}` });
  expect(await opening).not.toBe("refused");
  await vi.advanceTimersByTimeAsync(0);
  expect(lost).toHaveBeenCalledOnce();
});

test("a watch that was stopped in its first turn loses nothing", async () => {
  const { watch, events } = world();
  const { moment } = events;
  events.publish({ kind: "user-gone", userId: "u" });
  const lost = vi.fn();
  watch.start({ userId: "u", keyId: TOKEN.id, decidedAfter: moment }, { lost })();
  await Promise.resolve();
  expect(lost).not.toHaveBeenCalled();
});
