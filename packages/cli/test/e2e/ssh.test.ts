/** Commands through `coder ssh`: exit codes, streams, variables, and that no process is left behind. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("a deployment of real processes on loopback", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await deployment?.close();
  }, 30_000);

  it.each([
    ["true", 0],
    ["exit 7", 7],
    ["exit 255", 255],
    ["kill -9 $$", 255],
    ["no-such-command-here", 127],
  ])("ends %j with code %i", async (command, code) => {
    const done = await deployment.run(["ssh", "demo", "--", command]);
    expect(done.code, done.stderr).toBe(code);
  });

  it("keeps stdout and stderr apart and passes stdin to its end", async () => {
    const done = await deployment.run(["ssh", "demo", "--", "cat; echo problem >&2"], { input: "a line\n" });
    expect(done).toEqual({ code: 0, stdout: "a line\n", stderr: "problem\n" });
  });

  it("sets variables, the workspace's names, and nothing of the agent's own", async () => {
    const done = await deployment.run(["ssh", "-e", "COLOUR=blue", "demo", "--", "env"]);
    expect(done.stdout).toContain("COLOUR=blue\n");
    expect(done.stdout).toContain("CODER_WORKSPACE_NAME=demo\n");
    expect(done.stdout).toContain("CODER_WORKSPACE_OWNER_NAME=owner\n");
    expect(done.stdout).not.toContain("NODE_OPTIONS");
  });

  it("carries 8 MiB of binary each way unchanged", async () => {
    const data = randomBytes(8 * 1024 * 1024);
    const up = await deployment.run(["ssh", "demo", "--", "sha256sum"], { input: data });
    expect(up.stdout.slice(0, 64)).toBe(createHash("sha256").update(data).digest("hex"));
    const child = deployment.spawn(["ssh", "demo", "--", "head -c 8388608 /dev/zero | tr '\\0' '\\377'"], {});
    const hash = createHash("sha256");
    child.stdout!.on("data", (chunk: Buffer) => hash.update(chunk));
    await once(child, "close");
    expect(hash.digest("hex")).toBe(
      createHash("sha256")
        .update(Buffer.alloc(8 * 1024 * 1024, 255))
        .digest("hex"),
    );
  });

  it("leaves no process behind when a session ends, and none when the agent ends", async () => {
    const mark = `mark-${randomBytes(6).toString("hex")}`;
    const child = deployment.spawn(["ssh", "-t", "demo", "--", `exec -a ${mark} sleep 300`], {});
    await until(() => commandLines().some((line) => line.startsWith(mark)));
    child.kill("SIGTERM");
    await once(child, "exit");
    await until(() => !commandLines().some((line) => line.startsWith(mark)));
  });
});

function commandLines(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        return []; // ended after it was listed
      }
    });
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    if (condition()) return;
    await sleep(50);
  }
  throw new Error("did not happen within 10 s");
}
