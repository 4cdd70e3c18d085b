/** How `coder ssh` finds the workspace that a user or OpenSSH names. */
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("the workspace that coder ssh is given", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await deployment?.close();
  }, 30_000);

  it.each(["demo", "owner/demo", "owner--demo", "demo.main", "owner/demo.main", "main.demo.owner"])(
    "finds the workspace as %s",
    async (name) => {
      expect((await deployment.run(["ssh", name, "--", "echo here"])).stdout).toBe("here\n");
    },
  );

  it("finds it by host names with prefix and suffix, as OpenSSH passes them", async () => {
    const speak = async (...args: string[]): Promise<string> => {
      const child = deployment.spawn(["ssh", "--stdio", ...args], {});
      const [banner] = (await once(child.stdout!, "data")) as [Buffer];
      child.stdin!.end();
      await once(child, "exit");
      return banner.toString("latin1").slice(0, 8);
    };
    expect(await speak("--ssh-host-prefix", "coder.", "coder.demo")).toBe("SSH-2.0-");
    expect(await speak("--hostname-suffix", "coder", "demo.coder")).toBe("SSH-2.0-");
    expect(await speak("--ssh-host-prefix", "p--", "--", "p--owner--demo")).toBe("SSH-2.0-");
  });

  it("shows the workspace and how to reach it", async () => {
    const show = await deployment.run(["show", "demo"]);
    expect(show.stdout).toMatch(
      /^owner\/demo: Started\n\nAGENT +STATUS +LAST SEEN +VERSION +PORTS +ACCESS\nmain +connected, ready/,
    );
    expect(show.stdout).toContain("coder ssh demo");
  });
});
