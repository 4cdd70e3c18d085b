/** Users and workspaces, administered by an owner from the command line. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";
import { PtyCommand } from "./pty.ts";

const PASSWORD = "a password for tests";

describe("administration", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  }, 60_000);
  afterAll(() => deployment.close());

  const run = (...args: string[]) => deployment.run(args);

  it("creates a user who can log in with the password that is printed", async () => {
    const made = await run("users", "create", "--username", "alice", "--email", "alice@example.com");
    expect([made.code, made.stderr]).toEqual([0, expect.stringContaining("A new user has been created!")]);
    const password = /^Password: +(\S{20})$/m.exec(made.stdout)?.[1];
    const login = await deployment.run(["login", deployment.url, "--email", "alice@example.com"], {
      user: "alice",
      environment: { CODER_LOGIN_PASSWORD: password },
    });
    expect(login).toMatchObject({ code: 0, stderr: expect.stringContaining("Welcome to Coder, alice!") });
    const again = await run("users", "create", "-u", "alice", "-e", "other@example.com");
    expect(again.code).toBe(1);
    expect(again.stderr).toMatch(/^User already exists: username: This value is already in use/);
  }, 60_000);

  it("lists and shows users", async () => {
    const table = await run("users", "list");
    expect(table.stdout).toMatch(/^USERNAME +EMAIL +CREATED AT +STATUS\nowner +owner@example\.com .* active\nalice /);
    const json = JSON.parse((await run("users", "list", "-o", "json")).stdout) as { username: string }[];
    expect(json.map(({ username }) => username)).toEqual(["owner", "alice"]);
    expect((await run("users", "list", "--column", "username,roles")).stdout).toBe(
      "USERNAME  ROLES\nowner     Owner\nalice     Member\n",
    );
    expect((await run("users", "show", "me")).stdout).toMatch(/^owner\nEmail +owner@example\.com\n/);
    const unknown = await run("users", "show", "bob");
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('There is no user "bob"')]);
    const refused = await deployment.run(["users", "list"], { user: "alice" });
    expect(refused.code).toBe(1);
  }, 60_000);

  it("suspends, activates and changes roles", async () => {
    const asking = await run("users", "suspend", "alice");
    expect([asking.code, asking.stderr]).toEqual([1, expect.stringContaining("--yes")]);
    expect(await run("users", "suspend", "--yes", "alice")).toMatchObject({
      code: 0,
      stderr: "User alice has been suspended!\n",
    });
    expect((await deployment.run(["whoami"], { user: "alice" })).code).toBe(1);
    expect(await run("users", "activate", "--yes", "alice")).toMatchObject({ code: 0 });
    expect((await deployment.run(["whoami"], { user: "alice" })).code).toBe(0);
    expect(await run("users", "edit-roles", "alice", "--roles", "owner")).toMatchObject({
      code: 0,
      stderr: "Roles of alice: Owner\n",
    });
    expect(await run("users", "edit-roles", "alice", "--roles", "member")).toMatchObject({
      stderr: "Roles of alice: Member\n",
    });
    expect((await run("users", "edit-roles", "alice", "--roles", "king")).stderr).toContain('Role "king" is not known');
  }, 60_000);

  it("renames and deletes workspaces, and users after theirs", async () => {
    await deployment.createWorkspace("old", "alice");
    expect(await run("rename", "alice/old", "new")).toMatchObject({
      code: 0,
      stderr: 'Workspace "old" is now "new"\n',
    });
    expect((await run("rename", "alice/old", "other")).stderr).toContain('There is no workspace "alice/old"');
    expect((await run("show", "alice/old")).stderr).toContain('There is no workspace "alice/old"');
    const kept = await run("users", "delete", "alice");
    expect([kept.code, kept.stderr]).toEqual([1, expect.stringContaining("has workspaces")]);
    expect((await run("delete", "alice/new")).stderr).toContain("--yes");
    expect(await run("delete", "--yes", "alice/new")).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('Workspace "new" is deleted\n'),
    });
    expect((await run("list", "--all", "-o", "json")).stdout).toBe("[]\n");
    expect(await run("users", "delete", "alice")).toMatchObject({ code: 0, stderr: "Successfully deleted alice.\n" });
  }, 60_000);

  it("takes the flags of a stock client without a meaning here, and refuses to grant more than was requested", async () => {
    await deployment.createWorkspace("flags");
    for (const command of ["start", "update"]) {
      const done = await run(command, "flags", "--parameter", "size=big", "--rich-parameter-file", "none.yaml");
      expect([done.code, done.stderr]).toEqual([
        0,
        expect.stringMatching(
          /^note: --parameter, --rich-parameter-file: workspaces of this deployment have no parameters\n/,
        ),
      ]);
    }
    const details = await run("show", "--details", "flags");
    expect([details.code, details.stdout]).toEqual([0, expect.stringMatching(/\nAGENT +ID +PLATFORM +DIRECTORY/)]);
    expect((await run("tokens", "create", "--scope", "all")).code).toBe(0);
    const less = await run("tokens", "create", "--scope", "workspace:read");
    expect([less.code, less.stdout, less.stderr]).toEqual([
      2,
      "",
      expect.stringContaining('--scope is "workspace:read"'),
    ]);
    const bundle = ["support", "bundle", "--yes", "--output-file", join(deployment.folder, "b.zip")];
    const unknown = await run(...bundle, "nosuch");
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('There is no workspace "nosuch"')]);
    const elsewhere = await run(...bundle, "--url-override", "http://127.0.0.1:9");
    expect(elsewhere.stderr).toContain("http://127.0.0.1:9");
  }, 60_000);

  it("resets a password in the store, beside the running server", async () => {
    const stateDir = join(deployment.folder, "server");
    const args = ["reset-password", "owner", "--cache-dir", stateDir];
    const short = await deployment.run(args, { environment: { CODER_NEW_USER_PASSWORD: "short" } });
    expect([short.code, short.stderr]).toEqual([1, expect.stringContaining("at least 8 characters")]);
    const command = new PtyCommand(args, deployment.environment());
    await command.sees(/Password: /);
    command.type("another password\r");
    await command.sees(/Password again: /);
    command.type("another passwort\r");
    await command.sees(/differ/);
    await command.sees(/differ[\s\S]*Password: /);
    command.type("another password\r");
    await command.sees(/differ[\s\S]*Password again: /);
    command.type("another password\r");
    expect(await command.ended()).toBe(0);
    expect(command.screen).toContain("Password has been reset for user owner!");
    expect((await run("whoami")).code).toBe(1);
    const login = (password: string) =>
      deployment.run(["login", deployment.url, "--email", "owner@example.com"], {
        environment: { CODER_LOGIN_PASSWORD: password },
      });
    expect((await login(PASSWORD)).code).toBe(1);
    expect((await login("another password")).code).toBe(0);
    const unknown = await deployment.run(["reset-password", "bob", "--cache-dir", stateDir]);
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining('There is no user "bob"')]);
    const nowhere = await deployment.run(["reset-password", "bob", "--state-dir", join(deployment.folder, "none")]);
    expect([nowhere.code, nowhere.stderr]).toEqual([1, expect.stringContaining("There is no deployment in")]);
  }, 60_000);

  it("backs the running server up, and restores it only while it is stopped", async () => {
    const stateDir = join(deployment.folder, "server");
    const copy = join(deployment.folder, "copy");
    const made = await run("server", "backup", "--to", copy, "--state-dir", stateDir);
    expect([made.code, made.stdout, made.stderr]).toEqual([
      0,
      "",
      expect.stringMatching(/^Backed up "[^"]+" to "[^"]+": [\d.]+ MB\n/),
    ]);
    const again = await run("server", "backup", "--to", copy, "--state-dir", stateDir);
    expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("is not empty")]);
    const restored = await run("server", "restore", "--from", copy, "--state-dir", join(deployment.folder, "second"));
    expect([restored.code, restored.stderr]).toEqual([0, expect.stringContaining("Next: start the server again")]);
    const busy = await run("server", "restore", "--from", copy, "--replace", "--state-dir", stateDir);
    expect([busy.code, busy.stderr]).toEqual([1, expect.stringContaining("stop that server")]);
    const nothing = await run("server", "backup");
    expect([nothing.code, nothing.stderr]).toEqual([2, expect.stringContaining("--to is missing")]);
    expect((await run("server", "backup", "--help")).stdout).toContain("server backup --to");
  }, 60_000);
});
