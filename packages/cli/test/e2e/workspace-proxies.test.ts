/** Workspace proxies, administered by an owner from the command line. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const TOKEN = "[0-9a-f-]{36}:[0-9a-f]{64}";

describe("workspace proxies", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  }, 60_000);
  afterAll(() => deployment.close());

  const run = (...args: string[]) => deployment.run(["wsproxy", ...args]);

  it("are created, with a token that is shown once", async () => {
    const made = await run("create", "--name", "near", "--display-name", "Near You");
    expect([made.code, made.stderr]).toEqual([0, "Workspace proxy near has been created.\n"]);
    expect(made.stdout).toMatch(new RegExp(`\nToken: ${TOKEN}\nSave this token, it will not be shown again.\n$`));
    const only = await run("create", "--name", "far", "--only-token");
    expect([only.code, only.stderr, only.stdout]).toEqual([0, "", expect.stringMatching(`^${TOKEN}\n$`)]);
    const json = await run("create", "--name", "third", "--no-prompt", "-o", "json");
    expect(JSON.parse(json.stdout)).toMatchObject({
      proxy: { name: "third", status: { status: "unregistered" } },
      proxy_token: expect.stringMatching(`^${TOKEN}$`),
    });
  }, 60_000);

  it("refuse names that cannot be, before and by the deployment", async () => {
    const again = await run("create", "--name", "near");
    expect([again.code, again.stderr]).toEqual([
      1,
      expect.stringMatching(/^Workspace proxy with name "near" already exists/),
    ]);
    for (const [args, why] of [
      [["--name", "primary"], 'The name "primary" is reserved'],
      [["--name", "Near You"], "lower-case letters"],
      [["--no-prompt"], "--name is missing"],
    ] as const) {
      const refused = await run("create", ...args);
      expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(why)]);
    }
    const asking = await run("create");
    expect([asking.code, asking.stderr]).toEqual([1, expect.stringContaining("give --name")]);
    const answered = await deployment.run(["wsproxy", "create", "--force-tty", "--only-token"], {
      input: "Not This\nasked\nAsked For\n",
    });
    expect([answered.code, answered.stdout]).toEqual([0, expect.stringMatching(`^${TOKEN}\n$`)]);
    expect(answered.stderr).toContain("lower-case letters");
  }, 60_000);

  it("are listed behind the primary", async () => {
    const table = await run("ls");
    expect(table.stdout).toMatch(
      /^NAME +URL +STATUS +STATUS REPORT\nprimary +http\S+ +ok *\nasked +unregistered *\nfar +unregistered *\nnear /,
    );
    expect((await run("list", "-c", "name,display name")).stdout).toMatch(/\nasked +Asked For *\n/);
    const json = JSON.parse((await deployment.run(["workspace-proxy", "ls", "-o", "json"])).stdout);
    expect(json.map(({ name }: { name: string }) => name)).toEqual(["primary", "asked", "far", "near", "third"]);
  }, 60_000);

  it("are changed, get another token, and are deleted", async () => {
    expect(await run("edit", "near", "--name", "closer", "--access-url", "https://closer.example.com")).toMatchObject({
      code: 0,
      stderr: "Workspace proxy closer has been changed.\n",
    });
    expect((await run("list", "-c", "name,url")).stdout).toMatch(/\ncloser +https:\/\/closer\.example\.com\n/);
    expect(await run("edit", "closer")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("--wildcard-access-url"),
    });
    const token = await run("regenerate-token", "closer", "--only-token");
    expect(token.stdout).toMatch(new RegExp(`^${TOKEN}\n$`));
    expect(await run("delete", "closer")).toMatchObject({ code: 1, stderr: expect.stringContaining("--yes") });
    expect(await run("delete", "closer", "--yes")).toMatchObject({
      code: 0,
      stderr: "Workspace proxy closer has been deleted.\n",
    });
    const gone = await run("delete", "closer", "-y");
    expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining('"coder wsproxy list" shows them')]);
    const primary = await run("delete", "primary", "-y");
    expect([primary.code, primary.stderr]).toEqual([1, expect.stringContaining("Cannot delete primary proxy")]);
  }, 60_000);

  it("are for owners", async () => {
    const made = await deployment.run(["users", "create", "--username", "alice", "--email", "alice@example.com"]);
    const password = /^Password: +(\S{20})$/m.exec(made.stdout)?.[1];
    await deployment.run(["login", deployment.url, "--email", "alice@example.com"], {
      user: "alice",
      environment: { CODER_LOGIN_PASSWORD: password },
    });
    const refused = await deployment.run(["wsproxy", "list"], { user: "alice" });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("Only an owner")]);
  }, 60_000);
});
