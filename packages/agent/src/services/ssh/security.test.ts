/** Security statements about SSH sessions that hold whatever a client sends. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAgent } from "ssh2";
import { expect, test } from "vitest";
import { duplexPair, eventually, exec, isAlive, outcome, run, TestService } from "./testing.ts";

const CODE = ["LD_PRELOAD", "NODE_OPTIONS", "BASH_ENV", "NODE_PATH"];
const PTY = { pty: { rows: 24, cols: 80, term: "xterm" } };

test("security 33: variables that make programs load code do not pass from the client or the agent, nor do the agent's tokens", async () => {
  const names = [...CODE, "CODER_AGENT_TOKEN_FILE", "GITHUB_TOKEN"];
  const before = Object.fromEntries(names.map((name) => [name, process.env[name]]));
  for (const name of names) process.env[name] = "of-the-agent";
  // This process reads it when it starts a program.
  process.env["LD_PRELOAD"] = "";
  process.env["NODE_OPTIONS"] = "--no-warnings";
  try {
    await using t = new TestService();
    const client = await t.connect();
    const sent = {
      ...Object.fromEntries(CODE.map((name) => [name, "of-the-client"])),
      LANG: "C.UTF-8",
      LC_TIME: "C",
      ...{
        PATH: "/evil",
        HOME: "/evil",
        SHELL: "/evil",
        IFS: "x",
        PROMPT_COMMAND: "evil",
        "BASH_FUNC_ls%%": "() { evil; }",
      },
      ...{ SSH_AUTH_SOCK: "/evil", CODER: "evil", GIT_SSH_COMMAND: "evil", LD_LIBRARY_PATH: "/evil", "A=B": "evil" },
    };
    for (const options of [{ env: sent }, { env: sent, ...PTY }]) {
      const seen = (await run(client, "env", options)).stdout.toString().replaceAll("\r", "");
      expect(seen).not.toMatch(/evil|of-the-client|of-the-agent|no-warnings/);
      for (const name of names) expect(seen).not.toMatch(new RegExp(`^${name}=`, "m"));
      expect(seen).toMatch(/^LC_TIME=C$/m);
    }
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
});

test("security 36: an oversized value fails alone: windows, terminal names, commands, variables, subsystems", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const beside = await exec(client, "cat");
  const large = 0xffff_ffff;
  const size = { rows: large, cols: large, width: large, height: large, term: "x".repeat(1024) };
  expect((await run(client, "stty size; echo $TERM", { pty: size })).stdout.toString()).toBe(
    `10000 10000\r\n${size.term}\r\n`,
  );
  const nameless = exec(client, "true", { pty: { ...size, term: "x".repeat(30_000) } });
  await expect(nameless).rejects.toThrow("Unable to request a pseudo-terminal");
  const longest = ": ".padEnd(128 * 1024 - 1, "x");
  expect((await run(client, longest)).status).toBe(0);
  expect((await run(client, longest, PTY)).status).toBe(0);
  for (const length of [128 * 1024, 200 * 1024]) {
    await expect(exec(client, "x".repeat(length))).rejects.toThrow("Unable to exec");
  }
  const env = { LANG: "C", LC_ALL: "x".repeat(100 * 1024) };
  expect((await run(client, "echo $LANG; printenv LC_ALL | wc -c", { env })).stdout.toString()).toBe("C\n0\n");
  const subsystem = new Promise((resolve, reject) => {
    client.subsys("x".repeat(100_000), (error, channel) => (error === undefined ? resolve(channel) : reject(error)));
  });
  await expect(subsystem).rejects.toThrow("Unable to start subsystem");
  const done = outcome(beside);
  beside.end("beside");
  expect((await done).stdout.toString()).toBe("beside");
});

test("security 36: a vanished client leaves no process on a terminal after the grace period", async () => {
  await using t = new TestService({ limits: { killGraceMs: 200 } });
  const client = await t.connect();
  const channel = await exec(client, "trap '' HUP TERM; echo pid=$$.; while :; do sleep 0.1; done", PTY);
  let seen = "";
  channel.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await eventually("the pid", () => /pid=\d+\./.test(seen));
  const pid = Number(/pid=(\d+)\./.exec(seen)![1]);
  client.destroy();
  await eventually("it is gone", () => !isAlive(pid));
});

test("a client whose process is known to have ended leaves no program without a terminal either", async () => {
  await using t = new TestService({ limits: { killGraceMs: 200 } });
  const [near, far] = duplexPair();
  t.service.handleConnection(far, { address: "::1", port: 1 });
  const client = await t.connectOver(near);
  const started = ["while :; do sleep 0.1; done", "trap '' HUP; while :; do sleep 0.1; done"].map(async (loop) => {
    const channel = await exec(client, `echo $$; ${loop}`);
    return Number((await once(channel, "data"))[0]);
  });
  const pids = await Promise.all(started);
  expect(pids.every(isAlive)).toBe(true);
  // The tunnel does this to the streams of a peer that the coordinator removes.
  far.destroy(Object.assign(new Error("connection aborted"), { code: "ERR_ABORTED" }));
  await eventually("all are gone", () => !pids.some(isAlive));
});

test.each([
  ["is missing", () => undefined],
  ["is a file", (path: string) => writeFileSync(path, "")],
  ["has a name too long for a socket in it", (path: string) => void mkdirSync(path)],
])("where the folder for temporary files %s, the agent's socket is in another", async (_what, make) => {
  await using t = new TestService();
  const before = process.env["TMPDIR"];
  const folder = join(t.home, "x".repeat(100));
  make(folder);
  process.env["TMPDIR"] = folder;
  try {
    const client = await t.connect({ agent: createAgent("/no/such/agent"), agentForward: true });
    const forwarded = await run(client, 'test -S "$SSH_AUTH_SOCK" && echo forwarded', { agentForward: true } as never);
    expect(forwarded.stdout.toString()).toBe("forwarded\n");
    expect((await run(client, "echo alive")).stdout.toString()).toBe("alive\n");
    expect(readdirSync(t.home, { recursive: true }).filter((name) => String(name).includes("ssh-"))).toEqual([]);
  } finally {
    if (before === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = before;
  }
});

test("a handler that throws fails its request, and the connection continues", async () => {
  let broken = true;
  await using t = new TestService({
    user: () => {
      if (broken) throw new Error("the directory service is away");
      return { name: "tester", shell: "/bin/sh", home: "/", uid: 0 };
    },
  });
  const client = await t.connect();
  await expect(exec(client, "true")).rejects.toThrow();
  broken = false;
  expect((await run(client, "echo alive")).stdout.toString()).toBe("alive\n");
});

test("an account's new shell is used by the next session", async () => {
  const home = mkdtempSync(join(tmpdir(), "chsh-"));
  const shell = { path: "/bin/sh" };
  try {
    await using t = new TestService({ user: () => ({ name: "tester", shell: shell.path, home, uid: 0 }) });
    const client = await t.connect();
    expect((await run(client, "echo $SHELL")).stdout.toString()).toBe("/bin/sh\n");
    shell.path = "/bin/bash";
    expect((await run(client, "echo $SHELL $0")).stdout.toString()).toBe("/bin/bash bash\n");
  } finally {
    rmSync(home, { recursive: true });
  }
});
