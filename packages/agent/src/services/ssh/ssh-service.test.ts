import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLogger } from "wg-userspace/base/ports";
import { type SessionEvent, SshService } from "./ssh-service.ts";
import { eventually, exec, isAlive, outcome, run, shell, TestService } from "./testing.ts";

test("stdout and stderr are separate and the exit status is the program's", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const result = await run(client, "echo out; echo err >&2; exit 3");
  expect(result.stdout.toString()).toBe("out\n");
  expect(result.stderr.toString()).toBe("err\n");
  expect(result.status).toBe(3);
});

test.each("ABRT ALRM FPE HUP ILL INT KILL PIPE QUIT SEGV TERM USR1 USR2".split(" "))(
  "a program ended by SIG%s reports the signal",
  async (name) => {
    await using t = new TestService();
    // Not the shell itself: bash ignores SIGQUIT.
    const killer = `(while kill -${name} $$; do sleep 0.1; done) >/dev/null 2>&1 &`;
    const result = await run(await t.connect(), `ulimit -c 0; ${killer} exec sleep 10`);
    expect(result.signal).toBe(`SIG${name}`);
    expect(result.status).toBe(undefined);
  },
);

test.runIf(process.platform === "linux")("a core dump is reported with its signal", async () => {
  await using t = new TestService();
  const dumped = async (limit: string): Promise<unknown> => {
    const channel = await exec(await t.connect(), `ulimit -c ${limit} && kill -ABRT $$`);
    const [code, signal, core] = (await once(channel.resume(), "exit")) as [number | null, string, boolean];
    expect([code, signal]).toEqual([null, "SIGABRT"]);
    return core;
  };
  expect(await dumped("0")).toBe(false);
  // Some machines write no core files at all, which bash's own report of the signal shows too.
  const bash = await run(await t.connect(), "ulimit -c unlimited; sh -c 'kill -ABRT $$' & wait $!", {});
  expect(await dumped("unlimited")).toBe(bash.stderr.toString().includes("core dumped"));
});

test("an empty command is one, and no login shell", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "");
  expect(result).toMatchObject({ status: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) });
});

test("a signal the protocol has no name for is reported as sshd does", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "kill -VTALRM $$; sleep 10");
  expect(result.signal).toBe("SIGSIG@openssh.com"); // ssh2's client adds the prefix to every name
  expect(result.status).toBe(undefined);
});

test.runIf(process.platform === "linux").each([{}, { pty: { term: "xterm" } }])(
  "a program ended by a real-time signal did not succeed (%j)",
  async (options) => {
    await using t = new TestService();
    const result = await run(await t.connect(), "kill -37 $$; sleep 10", options);
    expect(result.signal).toBe("SIGSIG@openssh.com");
    expect(result.status).toBe(undefined);
  },
);

test("a shell that does not exist is status 229 with a reason on stderr", async () => {
  await using t = new TestService({ user: () => ({ name: "x", shell: "/no/such/shell", home: "/", uid: 0 }) });
  const result = await run(await t.connect(), "true");
  expect(result.status).toBe(229);
  expect(result.stderr.toString()).toContain("the program does not exist");
});

test("end of input closes the program's stdin", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "wc -c", {}, Buffer.alloc(100_000));
  expect(result.stdout.toString().trim()).toBe("100000");
});

test("unread input does not keep the session open", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "exec 0<&-; echo done", {}, Buffer.alloc(8 * 1024 * 1024));
  expect(result.stdout.toString()).toBe("done\n");
  expect(result.status).toBe(0);
});

test("a background job that holds stdout keeps the channel open, as with OpenSSH", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "(sleep 0.4; echo late) & echo early");
  expect(result.stdout.toString()).toBe("early\nlate\n");
});

test("sessions start in the configured directory, or at home when it is missing", async () => {
  let directory: string | undefined = "/usr";
  await using t = new TestService({ directory: () => directory });
  const client = await t.connect();
  expect((await run(client, "pwd")).stdout.toString()).toBe("/usr\n");
  directory = "/does/not/exist";
  expect((await run(client, "pwd -P")).stdout.toString()).toBe(`${realpathSync(t.home)}\n`);
});

test.runIf(process.platform !== "win32")(
  "without a home directory programs start in the root, and the client learns why",
  async () => {
    const home = "/no/such/home";
    await using t = new TestService({ user: () => ({ name: "x", shell: "/bin/sh", home, uid: 0 }) });
    const client = await t.connect();
    const sentence = `Could not chdir to home directory ${home}: No such file or directory`;
    const piped = await run(client, "pwd; exit 3");
    expect(piped.stderr.toString()).toBe(`${sentence}\n`);
    expect(piped.stdout.toString()).toBe("/\n");
    expect(piped.status).toBe(3);
    const onTerminal = await run(client, "pwd; exit 4", { pty: { term: "xterm" } });
    expect(onTerminal.stdout.toString()).toBe(`${sentence}\r\n/\r\n`);
    expect(onTerminal.status).toBe(4);
  },
);

test.runIf(process.platform !== "win32")(
  "a command's shell is called by its name, a login shell has a hyphen",
  async () => {
    await using t = new TestService();
    const client = await t.connect();
    expect((await run(client, "echo $0")).stdout.toString()).toBe("bash\n");
    const channel = await shell(client, { term: "dumb" });
    channel.end("shopt login_shell; echo called $0; exit\n");
    const { stdout } = await outcome(channel);
    expect(stdout.toString()).toMatch(/login_shell\s+on\r\n/);
    expect(stdout.toString()).toContain("called -bash\r\n");
  },
);

test.runIf(process.platform === "linux").each([{}, { pty: { term: "dumb" } }])(
  "a command and variables may be any bytes (%j)",
  async (options) => {
    await using t = new TestService();
    const client = await t.connect();
    // ssh2's client sends buffers as they are, although its types name only text.
    const text = (latin1: string): string => Buffer.from(latin1, "latin1") as unknown as string;
    const command = text('printf %s "\xff\xfe\xc3$NAME" | od -An -tx1; echo data > caf\xe9; exit 3');
    const result = await run(client, command, { ...options, env: { NAME: text("\xfa") } });
    expect(result.stdout.toString().trim()).toBe("ff fe c3 fa");
    expect(result.status).toBe(3);
    expect(readdirSync(t.home, "latin1" as "utf8")).toContain("caf\xe9");
    const script = await run(client, text("#!/usr/bin/env sh\nprintf '\xff' | od -An -tx1"), options);
    expect(script.stdout.toString().trim()).toBe("ff");
  },
);

test("the environment names the workspace and the account, and holds nothing of the agent's own", async () => {
  process.env["CODER_AGENT_URL"] = "https://control.example";
  process.env["npm_config_x"] = "1";
  process.env["NODE_OPTIONS_BACKUP"] = "kept";
  try {
    await using t = new TestService();
    const client = await t.connect();
    const result = await run(client, "env", {
      env: { LANG: "C", LD_PRELOAD: "/x.so", NODE_OPTIONS: "--x", PATH: "/tmp" },
    });
    const environment = Object.fromEntries(
      result.stdout
        .toString()
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/=(.*)/s).slice(0, 2)),
    ) as Record<string, string>;
    expect(environment).toMatchObject({
      CODER: "true",
      CODER_AGENT_TOKEN: "the-agents-token",
      USER: "tester",
      LOGNAME: "tester",
      HOME: t.home,
      SHELL: "/bin/bash",
      LANG: "C",
      NODE_OPTIONS_BACKUP: "kept",
      SSH_CLIENT: "fd7a:115c:a1e0::1 4321 22",
      SSH_CONNECTION: "fd7a:115c:a1e0::1 4321 :: 22",
    });
    expect(environment["PATH"]).toBe(process.env["PATH"]);
    for (const name of [
      "LD_PRELOAD",
      "NODE_OPTIONS",
      "npm_config_x",
      "CODER_AGENT_URL",
      "SSH_TTY",
      "TERM",
      "SSH_AUTH_SOCK",
    ]) {
      expect(environment).not.toHaveProperty(name);
    }
  } finally {
    delete process.env["CODER_AGENT_URL"];
    delete process.env["npm_config_x"];
    delete process.env["NODE_OPTIONS_BACKUP"];
  }
});

test("the environment is evaluated for every session", async () => {
  let count = 0;
  await using t = new TestService({ environment: () => ({ COUNT: String(++count) }) });
  const client = await t.connect();
  expect((await run(client, "echo $COUNT")).stdout.toString()).toBe("1\n");
  expect((await run(client, "echo $COUNT")).stdout.toString()).toBe("2\n");
});

test("a script goes to the interpreter of its first line", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "#!/usr/bin/env node\nconsole.log(process.version)");
  expect(result.stdout.toString()).toMatch(/^v\d+\./);
});

test("without a command and terminal the login shell reads its input", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await new Promise<Awaited<ReturnType<typeof exec>>>((resolve, reject) => {
    client.shell(false, (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
  });
  channel.end("shopt -q login_shell && echo login; exit 7\n");
  const result = await outcome(channel);
  expect(result.stdout.toString()).toBe("login\n");
  expect(result.status).toBe(7);
});

test("the client's signal request reaches the program's group, unknown names do not", async () => {
  await using t = new TestService();
  const channel = await exec(
    await t.connect(),
    "trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.05; done",
  );
  const done = outcome(channel);
  await once(channel, "data");
  (
    channel as unknown as { _client: { _protocol: { signal(id: number, name: string): void } } }
  )._client._protocol.signal(0, "USR1");
  const result = await done;
  expect(result.stdout.toString()).toContain("caught");
  expect(result.status).toBe(9);
});

test("blocked file transfer is status 65 with the bytes of the protocol", async () => {
  await using t = new TestService({ blockFileTransfer: true });
  const client = await t.connect();
  const result = await run(client, "scp -t /tmp");
  expect(result.stdout.toString("latin1")).toBe("\x02File transfer has been disabled.\n");
  expect(result.status).toBe(65);
  expect((await run(client, "echo fine")).status).toBe(0);
});

test("an unknown subsystem is refused", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = new Promise<Awaited<ReturnType<typeof exec>>>((resolve, reject) => {
    client.subsys("netconf", (error, opened) => (error === undefined ? resolve(opened) : reject(error)));
  });
  await expect(channel).rejects.toThrow("Unable to start subsystem");
  expect((await run(client, "echo on")).stdout.toString()).toBe("on\n");
});

test("a session for a container is refused visibly rather than run in the wrong place", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "echo here", { env: { CODER_CONTAINER: "db" } });
  expect(result.status).toBe(229);
  expect(result.stdout.toString()).toBe("");
  expect(result.stderr.toString()).toContain("no containers");
});

test("sessions are counted by type and reported when they open and close", async () => {
  const events: SessionEvent[] = [];
  await using t = new TestService({ onSession: (event) => events.push(event) });
  const client = await t.connect();
  const editor = await exec(client, "cat", { env: { CODER_SSH_SESSION_TYPE: "vscode" } });
  const plain = await exec(client, "cat");
  expect(t.service.counts).toEqual({ ssh: 1, vscode: 1, jetbrains: 0 });
  const done = [outcome(editor), outcome(plain)];
  editor.end();
  plain.end();
  await Promise.all(done);
  await eventually("both are closed", () => events.length === 4);
  expect(t.service.counts).toEqual({ ssh: 0, vscode: 0, jetbrains: 0 });
  expect(events.map(({ kind, type }) => `${kind} ${type}`).sort()).toEqual([
    "close ssh",
    "close vscode",
    "open ssh",
    "open vscode",
  ]);
});

test("without a terminal the program outlives its client, until it writes", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "echo $$; sleep 0.5; touch survived; echo x; echo x; touch wrote");
  const pid = Number((await once(channel, "data"))[0]);
  client.destroy();
  await eventually("the client is gone", () => t.service.connections === 0);
  expect(t.service.counts.ssh).toBe(0);
  expect(isAlive(pid)).toBe(true);
  await eventually("the program ended", () => !isAlive(pid));
  expect(existsSync(join(t.home, "survived"))).toBe(true);
  expect(existsSync(join(t.home, "wrote"))).toBe(false);
});

test("closing the service hangs up, kills what ignores it, and leaves no process, background jobs included", async () => {
  const t = new TestService();
  const client = await t.connect();
  const polite = await exec(client, "trap 'exit 4' HUP; echo $$; while :; do sleep 0.02; done");
  const stubborn = await exec(client, "trap '' HUP; sleep 1000 & echo $$ $!; wait; wait; sleep 1000");
  const orphan = await exec(client, "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!");
  const politeDone = outcome(polite);
  const pids = (await Promise.all([once(polite, "data"), once(stubborn, "data"), once(orphan, "data")]))
    .flatMap(([chunk]) => String(chunk).trim().split(" "))
    .map(Number);
  expect(pids).toHaveLength(4);
  await eventually("the orphan's shell ended", () => t.service.counts.ssh === 2);
  expect(pids.every(isAlive)).toBe(true);
  const stubbornDone = outcome(stubborn);
  await t.service.close({ graceMs: 200 });
  expect((await politeDone).status).toBe(4);
  await stubbornDone;
  await eventually("no process is left", () => !pids.some(isAlive));
  await t[Symbol.asyncDispose]();
});

test("a closed service accepts no more streams", async () => {
  await using t = new TestService();
  await t.service.close();
  const failed = t.connect().catch((error: Error) => error.message);
  expect(await failed).toMatch(/lost|closed|ended|end|hang/i);
});

test("a client that no longer answers is dropped after the dead-client limit, one that answers is kept", async () => {
  await using t = new TestService({ maxTimeoutMs: 400 });
  const alive = await t.connect();
  // The second connection begins when the first is dropped, so the live one is silent for twice the limit.
  for (let times = 0; times < 2; times++) {
    const dead = await t.connect();
    // A client on a suspended machine: the stream stays open and nothing is answered.
    const protocol = (dead as unknown as { _protocol: { _handlers: Record<string, unknown>; _onWrite: () => void } })
      ._protocol;
    protocol._handlers = {};
    (dead as unknown as { _sock: { write: () => boolean } })._sock.write = () => true;
    expect(t.service.connections).toBe(2);
    await eventually("the dead one is dropped", () => t.service.connections === 1);
  }
  expect((await run(alive, "echo yes")).stdout.toString()).toBe("yes\n");
});

test("a host key that cannot be read is refused at once", () => {
  const options = {
    hostKey: "not a key",
    environment: () => ({}),
    directory: () => undefined,
    user: () => ({ name: "x", shell: "/bin/sh", home: "/", uid: 0 }),
    logger: silentLogger,
  };
  expect(() => new SshService(options)).toThrow("host key");
});

test("login text and secrets stay out of the log", async () => {
  await using t = new TestService();
  mkdirSync(join(t.home, "d"));
  writeFileSync(join(t.home, "d", "f"), "x");
  await run(await t.connect(), "cat d/f", { env: { MY_SECRET: "value-of-my-secret", LD_PRELOAD: "other-secret" } });
  const text = JSON.stringify(t.log);
  for (const secret of ["the-agents-token", "value-of-my-secret", "other-secret"]) expect(text).not.toContain(secret);
});

test("the service opens no listening socket, before and after clients have connected", async () => {
  const listeners = (): number =>
    process.getActiveResourcesInfo().filter((name) => /ServerWrap|UDPWrap/.test(name)).length;
  const before = listeners();
  await using t = new TestService();
  const client = await t.connect();
  await run(client, "true");
  expect(listeners()).toBe(before);
});

test("programs have default signal dispositions: a broken pipe ends them silently", async () => {
  await using t = new TestService();
  const client = await t.connect();
  for (const options of [{}, { pty: true }]) {
    const result = await run(client, "yes | head -1; echo $PIPESTATUS", options);
    expect(result.stdout.toString().replaceAll("\r", "")).toBe("y\n141\n");
    expect(result.stderr.toString()).toBe("");
  }
});
