import { afterEach, expect, test } from "vitest";
import type { ProxyAppGrantRow } from "../db/schema.ts";
import { type ProxyApp, proxyAppText } from "./proxy-app.ts";
import { ProxyGrants } from "./proxy-grants.ts";

const APP: ProxyApp = { method: "subdomain", label: "8080--main--dev--ada" };
const TERMINAL: ProxyApp = { method: "terminal" };
const NOW = 3_600_000;

let opened: ProxyGrants | undefined;
afterEach(() => opened?.close());

function row(fields: Partial<ProxyAppGrantRow>): ProxyAppGrantRow {
  return {
    id_hash: "h",
    proxy_id: "p",
    workspace_id: "w",
    owner_id: "o",
    agent_id: "a",
    key_id: "k",
    user_id: "u",
    app: proxyAppText(TERMINAL),
    renewed_at: NOW - 3 * 60_000,
    ...fields,
  };
}

/** Grants over rows kept in memory. */
function grantsOver(rows: ProxyAppGrantRow[], right: { mayReach?: (keyId: string) => boolean; holds?: boolean } = {}) {
  const kept = new Map(rows.map((one) => [one.id_hash, one]));
  const asked = { logins: 0, apps: 0 };
  const proxyAppGrants = {
    recent: async () => [...kept.values()],
    remove: async (hashes: readonly string[]) => {
      for (const hash of hashes) kept.delete(hash);
    },
    byHash: async (hash: string) => kept.get(hash),
    renew: async (hash: string) => kept.has(hash),
    put: async (one: ProxyAppGrantRow) => void kept.set(one.id_hash, one),
    sweep: async () => undefined,
  };
  const store = {
    proxyAppGrants,
    transaction: (write: (tables: { proxyAppGrants: typeof proxyAppGrants }) => unknown) => write({ proxyAppGrants }),
  };
  opened = new ProxyGrants({
    store: store as unknown as ConstructorParameters<typeof ProxyGrants>[0]["store"],
    mayReach: async (keyId) => {
      asked.logins++;
      return right.mayReach?.(keyId) ?? true;
    },
    holds: async () => {
      asked.apps++;
      return right.holds ?? true;
    },
    clock: { now: () => NOW },
    onError: () => undefined,
  });
  return { grants: opened, kept, asked };
}

const GRANT = {
  proxyId: "p",
  workspace_id: "w",
  owner_id: "o",
  agent_id: "a",
  visitor: { keyId: "k", userId: "u" },
};

test("one decision covers many terminals of one login", async () => {
  const rows = Array.from({ length: 256 }, (_, index) => row({ id_hash: `h${index}` }));
  const on = grantsOver(rows, { mayReach: () => false });
  expect(await on.grants.workspaceOf("p", "a")).toBeUndefined();
  expect([on.asked, on.kept.size]).toEqual([{ logins: 1, apps: 0 }, 0]);
});

test("an app has one grant, whatever prefix its host has", async () => {
  const on = grantsOver([]);
  for (const prefix of ["", "a---", "b---", "c---d---"])
    await on.grants.put({ ...GRANT, app: { method: "subdomain", label: `${prefix}${APP.label}` } });
  expect([...on.kept.values()].map(({ app }) => app)).toEqual([proxyAppText(APP)]);
});

test("a login that may not reach the agent has no tunnel for an app either", async () => {
  const on = grantsOver([row({ app: proxyAppText(APP) })], { mayReach: () => false });
  expect(await on.grants.workspaceOf("p", "a")).toBeUndefined();
  expect(on.asked.apps).toBe(0);
});

test("one valid login of several is enough, and grants that no longer hold are removed", async () => {
  const rows = [row({ id_hash: "1", key_id: "over" }), row({ id_hash: "2", app: proxyAppText(APP) })];
  const on = grantsOver(rows, { mayReach: (keyId) => keyId !== "over" });
  expect(await on.grants.workspaceOf("p", "a")).toBe("w");
  expect([...on.kept.keys()]).toEqual(["2"]);
});

test("a grant that ended a moment ago is kept, so that other servers can inform the proxy", async () => {
  const rows = [row({ key_id: "over", renewed_at: NOW - 60_000 })];
  const on = grantsOver(rows, { mayReach: () => false });
  expect(await on.grants.workspaceOf("p", "a")).toBeUndefined();
  expect(on.kept.size).toBe(1);
});

test("a grant that another release wrote is ignored and kept", async () => {
  const on = grantsOver([row({ app: '{"method":"later"}' })]);
  expect(await on.grants.workspaceOf("p", "a")).toBeUndefined();
  expect([on.kept.size, on.asked]).toEqual([1, { logins: 0, apps: 0 }]);
});

test("only the handle of a terminal finds a grant; the parts of an app's grant find none", async () => {
  const on = grantsOver([]);
  await on.grants.put({ ...GRANT, app: APP });
  const made = JSON.stringify(["p", "k", "a", proxyAppText(APP)]);
  for (const handle of [made, `app ${made}`, `terminal ${made}`])
    expect(await on.grants.byHandle("p", handle)).toBeUndefined();
  await on.grants.put({ ...GRANT, app: TERMINAL, handle: "random" });
  expect(await on.grants.byHandle("p", "random")).toMatchObject({ key_id: "k" });
  expect(await on.grants.byHandle("other", "random")).toBeUndefined();
});

test("a grant outlives the 15 minutes for which a proxy goes on without an answer", async () => {
  const on = grantsOver([]);
  await on.grants.put({ ...GRANT, app: TERMINAL, handle: "random" });
  const renewed = (agoMs: number): void => {
    for (const one of on.kept.values()) on.kept.set(one.id_hash, { ...one, renewed_at: NOW - agoMs });
  };
  renewed(15 * 60_000);
  expect(await on.grants.byHandle("p", "random")).toBeDefined();
  renewed(16 * 60_000);
  expect(await on.grants.byHandle("p", "random")).toBeUndefined();
});
