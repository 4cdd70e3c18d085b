import { once } from "node:events";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ClientChannel, PseudoTtyOptions } from "ssh2";
import { expect, test } from "vitest";
import { Pty } from "../../host/pty.ts";
import { clampSize } from "../../os/terminal-device.ts";
import { eventually, exec, isAlive, outcome, run, shell, TestService } from "./testing.ts";

const PTY = { pty: { rows: 33, cols: 101, term: "xterm-256color" } };

/** Uses one listener for the whole wait: a flowing stream drops what arrives between two one-shot listeners. */
function until(channel: ClientChannel, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let seen = "";
    channel.on("data", (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(text)) resolve(seen);
    });
    channel.once("close", () => reject(new Error(`the channel closed before ${JSON.stringify(text)}: ${seen}`)));
  });
}

test("a program on a terminal has its size and type, and SSH_TTY names it", async () => {
  await using t = new TestService();
  const result = await run(
    await t.connect(),
    'stty size; echo $TERM; [ "$SSH_TTY" = "$(tty)" ] && echo same; exit 5',
    PTY,
  );
  expect(result.stdout.toString().replaceAll("\r", "")).toBe("33 101\nxterm-256color\nsame\n");
  expect(result.status).toBe(5);
});

test("a window change reaches the program", async () => {
  await using t = new TestService();
  const channel = await exec(
    await t.connect(),
    "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done",
    PTY,
  );
  const done = outcome(channel);
  await once(channel, "data");
  channel.setWindow(50, 160, 0, 0);
  expect((await done).stdout.toString()).toContain("50 160");
});

test("hostile window sizes are clamped and end nothing", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "cat", { pty: { rows: 4_294_967_295, cols: 0 } });
  const done = outcome(channel);
  for (const [rows, cols] of [
    [0, 0],
    [4_294_967_295, 4_294_967_295],
    [65_536, 1],
  ] as const) {
    channel.setWindow(rows, cols, 4_294_967_295, 4_294_967_295);
  }
  channel.write("\x04");
  expect((await done).status).toBe(0);
  expect(clampSize({ columns: 0, rows: 4_294_967_295 })).toMatchObject({ columns: 80, rows: 10_000 });
  expect(clampSize({ columns: -5, rows: 1.5 })).toMatchObject({ columns: 1, rows: 1 });
});

test.each(["x\n$(reboot)/../../etc", "foo bar", "@x"])("the terminal name %j is passed on", async (term) => {
  await using t = new TestService();
  const command = 'echo "$TERM"; env | grep -c ^TERM=';
  const result = await run(await t.connect(), command, { pty: { term } });
  expect(result.stdout.toString().replaceAll("\r", "")).toBe(`${term}\n1\n`);
});

test("a login shell greets with banners and the message of the day, unless .hushlogin exists", async () => {
  await using t = new TestService({
    banners: () => ["Maintenance tonight", ""],
    motd: () => Promise.resolve("Welcome\nto the workspace\n"),
  });
  const client = await t.connect();
  const login = async (): Promise<string> => {
    const channel = await shell(client, PTY.pty);
    channel.write("shopt -q login_shell && echo IS-LOGIN; exit\n");
    return (await outcome(channel)).stdout.toString();
  };
  const greeted = await login();
  expect(greeted.startsWith("Maintenance tonight\r\nWelcome\r\nto the workspace\r\n")).toBe(true);
  expect(greeted).toContain("IS-LOGIN\r\n");
  writeFileSync(join(t.home, ".hushlogin"), "");
  expect(await login()).not.toContain("Welcome");
});

test("a program that closes the terminal before it exits keeps its exit status", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const statuses = await Promise.all(
    Array.from({ length: 20 }, async () => (await run(client, "exec 0<&- 1>&- 2>&-; sleep 0.1; exit 7", PTY)).status),
  );
  expect(statuses).toEqual(Array.from({ length: 20 }, () => 7));
});

test("control-C interrupts the foreground program", async () => {
  await using t = new TestService();
  const channel = await exec(await t.connect(), "echo ready; sleep 100; echo not reached", PTY);
  const done = outcome(channel);
  await until(channel, "ready");
  channel.write("\x03");
  const result = await done;
  expect(result.stdout.toString()).not.toContain("not reached");
  expect(result.signal ?? result.status).toBe("SIGINT");
});

test("output written just before the exit arrives completely, however slowly the client reads", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const channel = await exec(client, "stty -opost; head -c 6000000 /dev/zero | tr '\\0' x; echo END", PTY);
  // Reads nothing until every buffer on the way is full and other commands have come and gone.
  await eventually("the channel is full", () => channel.readableLength >= channel.readableHighWaterMark);
  const other = await t.connect();
  for (let times = 0; times < 10; times++) await run(other, "true");
  const result = await outcome(channel);
  expect(result.stdout.length).toBe(6_000_004);
  expect(result.stdout.subarray(-4).toString()).toBe("END\n");
});

test("input that the program does not read waits instead of piling up", async () => {
  await using t = new TestService();
  const channel = await exec(
    await t.connect(),
    "stty raw -echo; echo ready; sleep 0.5; head -c 3000000 | sha256sum",
    PTY,
  );
  const done = outcome(channel);
  await until(channel, "ready");
  channel.write(Buffer.alloc(3_000_000, "a"));
  const expected = (
    await run(await t.connect(), "head -c 3000000 /dev/zero | tr '\\0' a | sha256sum")
  ).stdout.toString();
  expect((await done).stdout.toString()).toContain(expected.slice(0, 64));
});

test("the channel closes when the shell exits, although a background job holds the terminal", async () => {
  await using t = new TestService();
  const result = await run(await t.connect(), "trap '' HUP; sleep 30 & echo $!", PTY);
  const pid = Number(result.stdout.toString());
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, "SIGKILL");
});

test("a client that vanishes leaves no process: hang-up, then SIGKILL after the grace", async () => {
  await using t = new TestService({ limits: { killGraceMs: 150 } });
  const client = await t.connect();
  const polite = await exec(client, "echo $$; sleep 1000", PTY);
  const stubborn = await exec(client, "trap '' HUP TERM; echo $$; while :; do sleep 0.02; done", PTY);
  const interactive = await shell(client, PTY.pty);
  interactive.write("trap '' HUP; echo pid=$$; (trap '' HUP; echo job=$BASHPID.; exec sleep 1000)\n");
  const pids = (await Promise.all([once(polite, "data"), once(stubborn, "data")])).map(([chunk]) => Number(chunk));
  const seen = await until(interactive, ".\r\n");
  pids.push(Number(/pid=(\d+)\r/.exec(seen)?.[1]), Number(/job=(\d+)\./.exec(seen)?.[1]));
  expect(pids.every((pid) => pid > 1 && isAlive(pid))).toBe(true);
  client.destroy();
  await eventually("no process is left", () => !pids.some(isAlive));
  expect(t.service.counts.ssh).toBe(0);
});

test("closing only the channel hangs up as well", async () => {
  await using t = new TestService({ limits: { killGraceMs: 100 } });
  const channel = await exec(await t.connect(), "echo $$; sleep 1000", PTY);
  const pid = Number((await once(channel, "data"))[0]);
  channel.close();
  await eventually("the program ended", () => !isAlive(pid));
});

test("where no terminal can be created the request is refused and the shell reports it", async () => {
  await using t = new TestService({ terminals: false });
  const client = await t.connect();
  await expect(shell(client, PTY.pty)).rejects.toThrow("pseudo");
  // Clients such as OpenSSH continue after the refusal.
  const channel = await exec(client, "echo works; exit 2");
  expect(await outcome(channel)).toMatchObject({ status: 2 });
});

test("a hundred terminals open and close without leaving one behind", async () => {
  await using t = new TestService();
  const client = await t.connect();
  for (let round = 0; round < 5; round++) {
    const results = await Promise.all(Array.from({ length: 20 }, () => run(client, "tty", PTY)));
    expect(new Set(results.map((result) => result.stdout.toString())).size).toBe(20);
  }
});

test.runIf(process.platform === "linux")("a terminal fails with the reason why its program cannot be started", () => {
  const options = { args: [], environment: {}, size: { columns: 80, rows: 24 } };
  const make = (file: string, directory: string) => (): Pty => new Pty({ ...options, file, directory });
  expect(make("/no/such/program", "/")).toThrow("ENOENT");
  expect(make("/etc/passwd", "/")).toThrow("EACCES");
  expect(make("/bin/sh", "/etc/passwd")).toThrow("ENOTDIR");
});

test("the client's terminal modes are set before the program starts", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const modes = {
    ECHO: 0,
    VERASE: 8,
    VINTR: 255,
    ONLCR: 0,
    IXON: 0,
    IUTF8: 1,
    TTY_OP_ISPEED: 9600,
    TTY_OP_OSPEED: 9600,
  };
  const { stdout } = await run(client, "stty -a", { pty: { ...PTY.pty, modes } as PseudoTtyOptions });
  const seen = stdout.toString();
  expect(seen).toMatch(/speed 9600 baud/);
  expect(seen).toMatch(/intr = <undef>; .*erase = \^H;/);
  for (const word of ["-echo", "-onlcr", "-ixon", "iutf8", "icanon"]) expect(seen.split(/[\s;]+/)).toContain(word);
});

test("where no terminal can be created, that request fails and the program runs without one", async () => {
  await using t = new TestService({ terminals: false });
  const client = await t.connect();
  await expect(run(client, "true", PTY)).rejects.toThrow("pseudo-terminal");
  expect((await run(client, "test -t 0 || echo none")).stdout.toString()).toBe("none\n");
});

test.runIf(process.platform === "linux")("a terminal that is requested and never used is closed", async () => {
  await using t = new TestService();
  const client = await t.connect();
  const masters = (): number => readdirSync("/proc/self/fd").filter((fd) => linkOf(fd).endsWith("ptmx")).length;
  const before = masters();
  for (let round = 0; round < 5; round++) {
    await expect(exec(client, "x".repeat(128 * 1024), PTY)).rejects.toThrow("Unable to exec");
  }
  expect(masters()).toBe(before + 5);
  client.end();
  await eventually("all closed", () => masters() === before);
});

function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return ""; // the listing's own descriptor
  }
}
