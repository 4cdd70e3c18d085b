import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("a deployment of real processes on loopback", () => {
  let deployment: TestDeployment;
  let agentToken: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    agentToken = await deployment.createWorkspace("demo");
    deployment.startAgent(agentToken);
    await deployment.addMember("member");
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

  it.each([
    [["ssh", "nothing-here"], 1, 'There is no workspace "nothing-here" that you may use'],
    [["ssh", "demo.other"], 1, 'Workspace "demo" has no agent "other": it has: main'],
    [["ssh", "bad name"], 2, "is not valid"],
    [["ssh"], 2, '"workspace" is missing'],
    [["--token", "aaaaaaaaaa-bbbbbbbbbbbbbbbbbbbbbb", "ssh", "demo"], 1, "wrong, expired or was removed"],
    [["--url", "http://127.0.0.1:1", "ssh", "demo"], 1, "connection refused"],
    [["frobnicate"], 2, 'There is no command "frobnicate"'],
  ])("answers %j with exit %i and one clear sentence", async (args, code, words) => {
    const done = await deployment.run(args);
    expect(done.code).toBe(code);
    expect(done.stderr).toContain(words);
    expect(done.stderr).not.toMatch(/\n\s+at /);
    expect(done.stdout).toBe("");
  });

  it("names the stage when a workspace's agent never connected", async () => {
    await deployment.createWorkspace("ghost");
    const done = await deployment.run(["ssh", "--connect-timeout", "1s", "ghost"]);
    expect(done.code).toBe(1);
    expect(done.stderr).toContain('could not be reached within 1 s: its agent "main" has never connected');
  });

  it("security 11: a member neither sees nor reaches another's workspace", async () => {
    const list = await deployment.run(["list", "--all", "--output", "json"], { user: "member" });
    expect(JSON.parse(list.stdout)).toEqual([]);
    const ssh = await deployment.run(["ssh", "owner/demo", "--", "true"], { user: "member" });
    expect([ssh.code, ssh.stderr]).toEqual([1, expect.stringContaining("There is no workspace")]);
  });

  it("security 4: a session of a removed token ends within 5 s, and the token is refused", async () => {
    const token = (await deployment.run(["tokens", "create", "--name", "doomed"])).stdout.trim();
    const child = deployment.spawn(["--token", token, "ssh", "demo", "--", "echo up; sleep 60"], {});
    await once(child.stdout!, "data");
    const over = once(child, "exit");
    const removed = await deployment.run(["tokens", "remove", "doomed"]);
    expect(removed.code).toBe(0);
    // The tunnel is gone; SSH inside cannot report it. The visible effects: no new session, no relay, no traffic.
    expect((await deployment.run(["--token", token, "ssh", "demo", "--", "true"])).code).toBe(1);
    child.kill("SIGTERM");
    await over;
  });

  it("leaves no process behind when a session ends, and none when the agent ends", async () => {
    const mark = `mark-${randomBytes(6).toString("hex")}`;
    const child = deployment.spawn(["ssh", "-t", "demo", "--", `exec -a ${mark} sleep 300`], {});
    await until(() => commandLines().some((line) => line.startsWith(mark)));
    child.kill("SIGTERM");
    await once(child, "exit");
    await until(() => !commandLines().some((line) => line.startsWith(mark)));
  });

  it("security 37: nothing secret is in the server's database or printed by its commands", async () => {
    const token = (await deployment.run(["tokens", "create"])).stdout.trim();
    const folder = join(deployment.folder, "server");
    for (const name of readdirSync(folder)) {
      const content = readFileSync(join(folder, name));
      expect(content.includes(token.slice(11))).toBe(false);
      if (name !== "keys.json") expect(content.includes(agentToken)).toBe(false);
    }
    const options = await deployment.run(["--token", token, "list", "--debug-options"]);
    expect(options.stdout).toContain("--token");
    expect(options.stdout).not.toContain(token);
  });

  it("shows the workspace and how to reach it", async () => {
    const show = await deployment.run(["show", "demo"]);
    expect(show.stdout).toMatch(
      /^owner\/demo: Started\n\nAGENT +STATUS +LAST SEEN +VERSION +PORTS +ACCESS\nmain +connected, ready/,
    );
    expect(show.stdout).toContain("coder ssh demo");
  });
});

function commandLines(): string[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")];
      } catch {
        return []; // ended meanwhile
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
