import { expect, test, vi } from "vitest";
import type { WorkspaceProxyReplicaRow, WorkspaceProxyRow } from "../db/schema.ts";
import type { Store } from "../db/store.ts";
import { ProxyChecks, type ProxyChecksOptions } from "./proxy-checks.ts";
import { ProxyDirectory } from "./proxy-directory.ts";

const eventually = { timeout: 20_000, interval: 5 };

/** Proxies in memory, in a store that can be away. */
class MemoryProxies {
  isAway = false;
  reads = 0;
  readonly rows: WorkspaceProxyRow[] = ["near", "far", "here"].map((name, at) => ({
    id: name,
    name,
    name_key: name,
    display_name: "",
    icon: "",
    token_hash: "",
    token_generation: 1,
    region_number: at + 1,
    url: `https://${name}.example.com`,
    wildcard_hostname: "",
    is_confirmed: 1,
    derp_enabled: 1,
    derp_only: 1,
    path_apps: 0,
    stun_port: 0,
    version: "",
    created_at: 0,
    updated_at: 0,
    last_registered_at: null,
    health: "",
    health_at: null,
    health_failures: 0,
    check_claimed_at: 0,
    in_map: 0,
    deleted_at: null,
  }));

  async all() {
    this.#reach();
    return this.rows.map((row) => ({ ...row }));
  }
  async byId(id: string) {
    this.#reach();
    return this.rows.filter((row) => row.id === id).map((row) => ({ ...row }))[0];
  }
  locked = (id: string) => this.byId(id);
  async claimCheck() {
    this.#reach();
    return true;
  }
  async replicas() {
    return [{ updated_at: Date.now() } as WorkspaceProxyReplicaRow];
  }
  async update(id: string, columns: Partial<WorkspaceProxyRow>) {
    this.#reach();
    Object.assign(this.rows.find((row) => row.id === id) ?? {}, columns);
  }
  #reach(): void {
    this.reads++;
    if (this.isAway) throw new Error("the database is away");
  }
}

test("an outage of the store is logged once by the checks and once by the directory, and due checks follow it", async () => {
  const proxies = new MemoryProxies();
  const lines: string[] = [];
  const write = (_facts: unknown, message?: string) => void lines.push(message ?? String(_facts));
  const log = { info: write, warn: write, error: write } as ProxyChecksOptions["log"];
  const changes = { subscribe: () => () => undefined, publish: () => undefined };
  const directory = new ProxyDirectory({ proxies, changes: changes as never, log });
  await directory.open();
  let asked = 0;
  const checks = new ProxyChecks({
    store: {
      workspaceProxies: proxies,
      transaction: (work: (tables: unknown) => unknown) => work({ workspaceProxies: proxies }),
    } as unknown as Store,
    directory,
    intervalMs: 5,
    check: async () => {
      asked++;
      return { kind: "ok", warnings: [] };
    },
    clock: { now: () => Date.now() },
    log,
  });
  proxies.isAway = true;
  checks.start();
  const before = proxies.reads;
  await vi.waitFor(() => expect(proxies.reads - before).toBeGreaterThan(20), eventually);
  expect([...lines].sort()).toEqual(["a workspace proxy was not checked", "the workspace proxies were not read"]);
  expect([asked, checks.isSuspended, directory.isCurrent]).toEqual([0, true, false]);

  proxies.isAway = false;
  await vi.waitFor(() => expect(proxies.rows.map(({ in_map: inMap }) => inMap)).toEqual([1, 1, 1]), eventually);
  expect([checks.isSuspended, directory.isCurrent]).toEqual([false, true]);
  await checks.close();
  await directory.close();
  expect(lines.filter((line) => line.startsWith("the workspace proxies"))).toEqual([
    "the workspace proxies were not read",
    "the workspace proxies are read again",
  ]);
});
