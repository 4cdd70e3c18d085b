import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { backUp } from "../src/backup/back-up.ts";
import { resetPassword } from "../src/backup/reset-password.ts";
import { restore } from "../src/backup/restore.ts";
import { createLogger } from "../src/base/log.ts";
import { firstUser, PASSWORD, send, startServer, type TestServer, TextCollector } from "./helpers.ts";

let test: TestServer;
beforeEach(async () => {
  test = await startServer({ store: "sqlite" });
});
afterEach(() => test[Symbol.asyncDispose]());

type Line = Record<string, string | number>;
const recorded = (): Line[] =>
  test.log.text
    .split("\n")
    .filter((line) => line.includes('"audit"'))
    .map((line) => JSON.parse(line) as Line);
const login = (email: string, password: string) =>
  send(test.url, "POST", "/api/v2/users/login", { body: { email, password } });

describe("the record of logins and of what users may do", () => {
  it("has every login, refused or not, with user and address, and never a secret", async () => {
    const { token } = await firstUser(test.url);
    expect((await login("ada@example.com", "a wrong password")).status).toBe(401);
    expect((await login("nobody@example.com", PASSWORD)).status).toBe(401);
    const second = (await login("ada@example.com", PASSWORD)).json.session_token as string;
    await send(test.url, "POST", "/api/v2/users/logout", { token: second });
    expect(recorded().map(({ audit, user, email, why, address }) => ({ audit, user, email, why, address }))).toEqual([
      { audit: "user-created", user: "ada", address: "127.0.0.1" },
      { audit: "login", user: "ada", address: "127.0.0.1" },
      { audit: "login-refused", email: "ada@example.com", why: "wrong password", address: "127.0.0.1" },
      { audit: "login-refused", email: "nobody@example.com", why: "no such user", address: "127.0.0.1" },
      { audit: "login", user: "ada", address: "127.0.0.1" },
      { audit: "logout", user: "ada", address: "127.0.0.1" },
    ]);
    for (const secret of [token, second, PASSWORD, "a wrong password"]) expect(test.log.text).not.toContain(secret);
    // The first part of a token identifies it, here and in the list of tokens, and grants nothing.
    const logins = recorded().filter(({ audit }) => audit === "login");
    expect(logins.map(({ key_id }) => key_id)).toEqual([token, second].map((text) => text.slice(0, 10)));
  });

  it("has an owner's actions on other users, and actions on tokens", async () => {
    const { token } = await firstUser(test.url);
    const ask = (method: string, path: string, body?: unknown) =>
      send(test.url, method, `/api/v2/users${path}`, body === undefined ? { token } : { token, body });
    await ask("POST", "", { username: "alice", email: "alice@example.com", password: PASSWORD });
    await ask("PUT", "/alice/roles", { roles: ["owner"] });
    await ask("PUT", "/alice/password", { password: `${PASSWORD} again`, old_password: "" });
    const { key } = (await ask("POST", "/alice/keys/tokens", { token_name: "ci" })).json;
    await ask("DELETE", `/alice/keys/${key.slice(0, 10)}`);
    await ask("PUT", "/alice/status/suspend");
    expect((await login("alice@example.com", `${PASSWORD} again`)).status).toBe(401);
    await ask("PUT", "/alice/status/activate");
    await ask("DELETE", "/alice");
    await ask("PUT", "/me/password", { password: `${PASSWORD} again`, old_password: "wrong" });
    expect(
      recorded()
        .slice(2)
        .map(({ audit, user, target, role, name, why }) => [audit, user, target, role ?? name ?? why]),
    ).toEqual([
      ["user-created", "ada", "alice", "member"],
      ["roles-changed", "ada", "alice", "owner"],
      ["password-changed", "ada", "alice", undefined],
      ["token-created", "ada", "alice", "ci"],
      ["key-removed", "ada", "alice", undefined],
      ["user-suspended", "ada", "alice", undefined],
      ["login-refused", undefined, undefined, "the user is suspended"],
      ["user-activated", "ada", "alice", undefined],
      ["user-deleted", "ada", "alice", undefined],
      ["password-refused", "ada", undefined, undefined],
    ]);
    expect(test.log.text).not.toContain(key);
  });

  it("contains sixty refusals a minute, and then the number that it left out", async () => {
    await firstUser(test.url);
    for (let i = 0; i < 70; i++) expect((await login(`${i}@example.com`, "x")).status).toBeGreaterThanOrEqual(401);
    const refused = () => recorded().filter(({ audit }) => audit === "login-refused");
    expect(refused()).toHaveLength(60);
    test.clock.advance(60_000);
    await login("late@example.com", "x");
    expect(refused().at(-1)).toMatchObject({ email: "late@example.com", left_out: 10 });
  });
});

describe("the record of commands on the server's machine", () => {
  it("has a password reset beside the running server, and that of a stopped one at its next start", async () => {
    await firstUser(test.url);
    await resetPassword({ file: join(test.stateDir, "coder.db") }, "ada", async () => `${PASSWORD} again`);
    const resets = () => recorded().filter(({ audit }) => audit === "password-reset");
    await expect.poll(resets, { timeout: 60_000 }).toHaveLength(1);
    expect(resets()[0]).toMatchObject({
      target: "ada",
      address: "local",
      system_user: userInfo().username,
      msg: "password reset by a command on the server's machine",
    });
    expect(test.log.text).not.toContain(`${PASSWORD} again`);
    const { stateDir } = test;
    const keep = `${stateDir}-kept`;
    cpSync(stateDir, keep, { recursive: true });
    try {
      await resetPassword({ file: join(keep, "coder.db") }, "ada", async () => PASSWORD);
      await using again = await startServer({ stateDir: keep, keep: true, store: "sqlite" });
      await expect.poll(() => again.log.text, { timeout: 60_000 }).toContain('"audit":"password-reset"');
      await expect.poll(() => again.server.parts.store.pendingAudit.list(10), { timeout: 60_000 }).toEqual([]);
    } finally {
      rmSync(keep, { recursive: true, force: true });
    }
  });

  it("has a restored backup at the first start", async () => {
    await firstUser(test.url);
    const signal = new AbortController().signal;
    const folder = mkdtempSync(join(tmpdir(), "coder-audit-"));
    const [copy, state] = [join(folder, "copy"), join(folder, "state")];
    try {
      const manifest = await backUp(test.stateDir, copy, { now: Date.now(), signal });
      await restore(copy, state, { now: Date.now(), signal, replace: false });
      await using again = await startServer({ stateDir: state, keep: true, store: "sqlite" });
      await expect.poll(() => again.log.text, { timeout: 60_000 }).toContain('"audit":"state-restored"');
      const line = again.log.text.split("\n").find((text) => text.includes("state-restored"));
      expect(JSON.parse(line!)).toMatchObject({
        from: copy,
        backup_created_at: manifest.created_at,
        release: manifest.release,
        system_user: userInfo().username,
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("a readable line", () => {
  const lineOf = (fields: object): string => {
    const sink = new TextCollector();
    createLogger({ sink, level: "info", format: "human" }).info(fields, "login refused");
    return sink.text;
  };

  it("shows plain values as they are", () => {
    expect(lineOf({ email: "a@example.com", left_out: 3 })).toMatch(
      /^\S+ \[INFO\] login refused email=a@example\.com left_out=3\n$/,
    );
  });

  it.each([
    "a@b.c\n2026-11-29T00:00:00Z [INFO] logged in user=owner",
    "a@b.c user=owner",
    'a"b',
    "\u001b[2J",
    "\u009b31m",
    "\u202egnihton",
    "\u{e0041}",
    "",
  ])("writes no value that could be mistaken for anything else: %j", (email) => {
    const line = lineOf({ email, why: "x" });
    expect(line).toMatch(/^\S+ \[INFO\] login refused email="(?:[^"\\]|\\.)*" why=x\n$/);
    expect(line.slice(0, -1)).not.toMatch(/\p{C}/u);
    expect(JSON.parse(/email=("(?:[^"\\]|\\.)*")/.exec(line)![1]!)).toBe(email);
  });
});
