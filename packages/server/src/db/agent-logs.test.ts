import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AccessChanges } from "../auth/access-changes.ts";
import { AccessEvents } from "../auth/access-events.ts";
import { Accounts } from "../auth/accounts.ts";
import { Passwords } from "../auth/passwords.ts";
import { createLogger } from "../base/log.ts";
import type { NewAgentLog } from "./agent-logs.ts";
import { Store } from "./store.ts";

const clock = { now: () => 1_000_000 };
const MAX_LINES = 200;
const AGENT = "5a5a5a5a-0000-4000-8000-000000000003";
const FACTS = { version: "", api_version: "", expanded_directory: "", subsystems: "[]" };

let folder: string;
let store: Store;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "agent-logs-"));
  store = await Store.open(join(folder, "db.sqlite"), clock.now());
  const log = createLogger({ sink: { write: () => undefined }, level: "error", format: "json" });
  const accessChanges = new AccessChanges(store, new AccessEvents(), log);
  const accounts = new Accounts({ store, passwords: new Passwords({ logN: 4, r: 8, p: 1 }), accessChanges, clock });
  const ann = await accounts.createFirst({ email: "ann@example.com", username: "ann", password: "some words of ann" });
  const workspaceId = "5a5a5a5a-0000-4000-8000-000000000001";
  const times = { created_at: 1, updated_at: 1 };
  await store.workspaces.insert({
    id: workspaceId,
    owner_id: ann.id,
    name: "dev",
    ttl_ms: null,
    autostart_schedule: null,
    last_used_at: 1,
    ...times,
  });
  await store.agents.insert({
    id: AGENT,
    workspace_id: workspaceId,
    resource_id: "5a5a5a5a-0000-4000-8000-000000000002",
    name: "main",
    token_generation: 1,
    token_hash: "x",
    operating_system: "linux",
    architecture: "amd64",
    directory: "",
    connection_timeout_seconds: 120,
    first_connected_at: null,
    last_connected_at: null,
    disconnected_at: null,
    lifecycle_state: "created",
    started_at: null,
    ready_at: null,
    logs_length: 0,
    logs_overflowed: 0,
    ...times,
    ...FACTS,
  });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const lines = (count: number, createdAt: number): NewAgentLog[] =>
  Array.from({ length: count }, () => ({ sourceId: AGENT, level: "info", output: "", createdAt }));
const append = async (count: number, createdAt = 1) => {
  const logs = lines(count, createdAt);
  return await store.transaction(({ agentLogs }) => agentLogs.append(AGENT, logs, MAX_LINES));
};

test("lines without text fill the log of an agent as well, and its next run has all the room again", async () => {
  expect(await append(MAX_LINES - 1)).toMatchObject({ overflowed: false });
  expect(await append(3)).toMatchObject({ stored: [{ id: MAX_LINES }], overflowed: true });
  expect(await append(1)).toEqual({ stored: [], overflowed: true });
  await store.transaction(({ agentLogs }) => agentLogs.beginRun(AGENT, 2, FACTS));
  expect(await append(2, 2)).toMatchObject({
    stored: [{ id: MAX_LINES + 1 }, { id: MAX_LINES + 2 }],
    overflowed: false,
  });
});
