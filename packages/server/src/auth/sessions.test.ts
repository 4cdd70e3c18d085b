import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogger } from "../base/log.ts";
import type { UserRow } from "../db/schema.ts";
import { Store } from "../db/store.ts";
import { AccessChanges } from "./access-changes.ts";
import { type AccessEvent, AccessEvents } from "./access-events.ts";
import { Accounts } from "./accounts.ts";
import type { Audit } from "./audit.ts";
import { Passwords } from "./passwords.ts";
import { Sessions } from "./sessions.ts";

const HOUR_MS = 3_600_000;
const clock = { now: () => 1_000_000 };
const log = createLogger({ sink: { write: () => undefined }, level: "error", format: "json" });

let folder: string;
let store: Store;
let sessions: Sessions;
let accounts: Accounts;
let ann: UserRow;
const ended: AccessEvent[] = [];

/** Passwords of which one check can be held up after its result is known. */
class SlowPasswords extends Passwords {
  checked: (() => Promise<void>) | undefined;
  override async verify(password: string, hash: string | undefined): Promise<boolean> {
    const isRight = await super.verify(password, hash);
    await this.checked?.();
    return isRight;
  }
}
const passwords = new SlowPasswords({ logN: 4, r: 8, p: 1 });

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "sessions-"));
  store = await Store.open(join(folder, "db.sqlite"), clock.now());
  const events = new AccessEvents();
  ended.length = 0;
  events.subscribe((event) => ended.push(event));
  const accessChanges = new AccessChanges(store, events, log);
  const lifetimes = { sessionDurationMs: HOUR_MS, defaultTokenLifetimeMs: HOUR_MS, maxTokenLifetimeMs: HOUR_MS };
  const audit = { record: () => undefined } as unknown as Audit;
  sessions = new Sessions({ store, passwords, accessChanges, audit, lifetimes, clock, servers: () => 1 });
  accounts = new Accounts({ store, passwords, accessChanges, clock });
  ann = await accounts.createFirst({ email: "ann@example.com", username: "ann", password: "old words of ann" });
});
afterEach(async () => {
  passwords.checked = undefined;
  await store.close();
  rmSync(folder, { recursive: true });
});

const login = (password: string, address = "192.0.2.1", email = "ann@example.com") =>
  sessions.login({ email, password }, address);

test("security 4: a login with the old password that is under way while the password changes gives no session", async () => {
  passwords.checked = async () => {
    passwords.checked = undefined;
    await accounts.setPassword(ann, "new words of ann");
  };
  await expect(login("old words of ann")).rejects.toMatchObject({ message: "Incorrect email or password" });
  expect(await store.apiKeys.countOf(ann.id)).toBe(0);
  await login("new words of ann");
});

test("security 4: a key that was ended while it is used gives no other key", async () => {
  const { key } = await login("old words of ann");
  const grounds = { keyId: key.row.id };
  const token = { name: "t", lifetimeMs: undefined };
  await sessions.issueToken(ann, token, grounds);
  await accounts.setPassword(ann, "new words of ann");
  expect(ended).toHaveLength(2);
  await expect(sessions.issueSession(ann, grounds)).rejects.toMatchObject({ code: "unauthenticated" });
  await expect(sessions.issueToken(ann, token, grounds)).rejects.toMatchObject({ code: "unauthenticated" });
  const { key: next } = await login("new words of ann");
  await sessions.expire(next.row);
  await expect(sessions.issueSession(ann, { keyId: next.row.id })).rejects.toMatchObject({ code: "unauthenticated" });
});

test("security 4: a deleted user gets no key", async () => {
  const bob = await accounts.create(
    { email: "bob@example.com", username: "bob", password: "some words of bob" },
    { role: "member", status: "active" },
  );
  const { key } = await login("old words of ann");
  await accounts.delete(bob, ann);
  await expect(sessions.issueSession(bob, { keyId: key.row.id })).rejects.toMatchObject({ code: "unauthenticated" });
});

test("security 38: an address without attempts left takes none of an account", async () => {
  for (let attempt = 0; attempt < 60; attempt++)
    await login("wrong", "198.51.100.1", `${attempt}@example.com`).catch(() => undefined);
  for (let attempt = 0; attempt < 20; attempt++)
    await expect(login("wrong", "198.51.100.1")).rejects.toMatchObject({ code: "too-many" });
  await login("old words of ann");
});
