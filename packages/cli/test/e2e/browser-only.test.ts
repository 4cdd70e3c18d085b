/** Browser-only mode and the command line: refused from the start, and switched on while commands are connected. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const SENTENCE = "Non-browser connections are disabled for your deployment.";

describe("browser-only mode of the deployment", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start(undefined, undefined, ["--browser-only"]);
    deployment.startAgent(await deployment.createWorkspace("demo"));
  });

  afterAll(async () => {
    await deployment?.close();
  });

  it.each([
    [["ssh", "demo", "--", "true"], 1],
    [["ssh", "--stdio", "demo"], 255],
    [["port-forward", "demo", "--tcp", "18080:80"], 1],
    [["ping", "demo"], 1],
    [["speedtest", "demo"], 1],
    [["cp", "/etc/hostname", "demo:/tmp/x"], 1],
  ] as const)("refuses %j with exit code %i, the sentence and the terminal's address", async (args, code) => {
    const ended = await deployment.run([...args]);
    expect([ended.code, ended.stderr]).toEqual([code, expect.stringContaining(`${SENTENCE}   (ERR_BROWSER_ONLY)`)]);
    expect(ended.stderr).toContain(`use the web terminal at ${deployment.url}/@owner/demo/terminal`);
  });

  it("still lists and shows, and opens apps", async () => {
    expect((await deployment.run(["list"])).stdout).toContain("demo");
    const opened = await deployment.run(["open", "app", "demo"]);
    expect([opened.code, opened.stderr]).toEqual([0, expect.stringContaining("has no apps")]);
  });
});

describe("browser-only mode of a workspace or user", () => {
  let deployment: TestDeployment;
  let users = 0;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
  });

  afterAll(async () => {
    await deployment?.close();
  });

  function start(user: string, args: readonly string[]): { child: ChildProcess; text: () => string } {
    const child = deployment.spawn(args, {}, user);
    let text = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (chunk) => {
        text += String(chunk);
      });
    }
    return { child, text: () => text };
  }

  async function until({ child, text }: ReturnType<typeof start>, sign: string): Promise<void> {
    while (!text().includes(sign)) {
      if (child.exitCode !== null) throw new Error(`ended before "${sign}": ${text()}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it.each([
    [
      "deployment",
      () => ["deployment", "edit-connection-policy", "enforced"],
      "Browser-only mode of the deployment",
      "off",
    ],
    [
      "workspace",
      (user: string) => ["external-workspaces", "edit-connection-policy", `${user}/demo`, "browser-only"],
      "Connection policy of workspace",
      "inherit",
    ],
    [
      "user",
      (user: string) => ["users", "edit-connection-policy", user, "browser-only"],
      "Connection policy of user",
      "inherit",
    ],
  ] as const)(
    "ends ssh, ssh --stdio and port-forward when it is switched on for the %s",
    async (_what, command, said, undo) => {
      const user = `member${++users}`;
      await deployment.addMember(user);
      deployment.startAgent(await deployment.createWorkspace("demo", user));
      const local = await freePort();
      const ssh = start(user, ["ssh", "demo", "--", "echo ready; sleep 1000"]);
      await until(ssh, "ready");
      const forward = start(user, ["port-forward", "demo", "--tcp", `${local}:22222`]);
      await until(forward, String(local));
      const stdio = start(user, ["ssh", "--stdio", "demo"]);
      await until(stdio, "SSH-2.0");

      const ends = Promise.all([ssh, forward, stdio].map(({ child }) => once(child, "close")));
      const set = await deployment.run([...command(user)]);
      expect(set.stderr).toContain(said);
      expect(set.code).toBe(0);
      expect((await ends).map(([code]) => code as number)).toEqual([255, 255, 255]);
      for (const { text } of [ssh, forward, stdio]) {
        expect(text()).toContain(SENTENCE);
        expect(text()).toContain(`${deployment.url}/@${user}/demo/terminal`);
      }
      const closed = await once(connect(local, "127.0.0.1"), "error").then(
        ([error]) => (error as { code: string }).code,
      );
      expect(closed).toBe("ECONNREFUSED");

      const undone = [...command(user).slice(0, -1), undo];
      expect((await deployment.run(undone)).code).toBe(0);
      expect((await deployment.run(["ssh", "demo", "--", "true"], { user })).code).toBe(0);
    },
  );

  it("is refused to members, and takes three words", async () => {
    await deployment.addMember("carol");
    const own = await deployment.run(["users", "edit-connection-policy", "carol", "any"], { user: "carol" });
    expect([own.code, own.stderr]).toEqual([1, expect.stringContaining("Only an owner of this deployment")]);
    const wrong = await deployment.run(["users", "edit-connection-policy", "carol", "none"]);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("inherit, any, browser-only")]);
    const rule = ["deployment", "edit-connection-policy"];
    const member = await deployment.run([...rule, "off"], { user: "carol" });
    expect([member.code, member.stderr]).toEqual([1, expect.stringContaining("Only an owner of this deployment")]);
    const unknown = await deployment.run([...rule, "browser-only"]);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining("off, default, enforced")]);
    expect((await deployment.run(["users", "show", "carol"])).stdout).toMatch(/Connection policy\s+inherit/);
  });
});
