import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { eventually, exec, isAlive, outcome, run, sftp, shell, TestService } from "./testing.ts";

function serviceWith(rc: string): TestService {
  const service = new TestService({ sftpServer: "builtin" });
  mkdirSync(join(service.home, ".ssh"));
  writeFileSync(join(service.home, ".ssh", "rc"), rc);
  return service;
}

test("the user's script runs before a command, with its variables and in its directory", async () => {
  await using t = serviceWith('cat; echo "rc $NAME $0"; pwd; echo err >&2; exit 7');
  const result = await run(await t.connect(), "echo command; exit 3", { env: { NAME: "value" } }, "input");
  expect(result.stdout.toString()).toBe(`rc value ${t.home}/.ssh/rc\n${t.home}\ncommand\n`);
  expect(result.stderr.toString()).toBe("err\n");
  expect(result.status).toBe(3);
});

test("on a terminal its lines end as the terminal's do", async () => {
  await using t = serviceWith('echo one; echo two >&2; [ -c "$SSH_TTY" ] && echo tty');
  const channel = await shell(await t.connect(), { term: "dumb" });
  channel.end("exit 4\n");
  const result = await outcome(channel);
  expect(result.stdout.toString()).toContain("one\r\n");
  expect(result.stdout.toString()).toContain("two\r\n");
  expect(result.stdout.toString()).toContain("tty\r\n");
  expect(result.status).toBe(4);
});

test.runIf(process.platform === "linux")(
  "on a terminal it has that as its controlling terminal, in the program's own kernel session, and no input",
  async () => {
    await using t = serviceWith(
      'cat; echo "rc" >/dev/tty; ps -o tty=,sess= -p $$ >rc; [ -t 1 ] && echo "out is a terminal"; sleep 600 & echo $! >pid',
    );
    const channel = await shell(await t.connect(), { term: "dumb" });
    channel.end('ps -o tty=,sess= -p $$ >shell; echo "name $0"; exit 4\n');
    const result = await outcome(channel);
    const screen = result.stdout.toString();
    expect(screen).toContain("rc\r\n");
    expect(screen).toContain("out is a terminal\r\n");
    expect(screen).toContain("name -bash\r\n");
    const read = (name: string): string => readFileSync(join(t.home, name), "utf8");
    expect(read("rc")).toBe(read("shell"));
    expect(read("rc")).toMatch(/^pts\/\d+ +\d+\n$/);
    expect(result.status).toBe(4);
  },
);

test("a script that fails, or is none, does not keep the shell from starting", async () => {
  for (const rc of ["exit 3", "nosuch; (", "kill -9 $$"]) {
    await using t = serviceWith(rc);
    const channel = await shell(await t.connect(), { term: "dumb" });
    channel.end("exit 4\n");
    expect((await outcome(channel)).status).toBe(4);
  }
});

test("a program that it leaves behind holds up neither the command nor its end", async () => {
  await using t = serviceWith("sleep 600 & echo $! > pid; echo rc");
  const result = await run(await t.connect(), "echo command; cat pid");
  const [first, second, pid] = result.stdout.toString().split("\n");
  expect([first, second]).toEqual(["rc", "command"]);
  expect(isAlive(Number(pid))).toBe(true);
});

test("a script that does not end is hung up on when the client leaves", async () => {
  await using t = serviceWith("echo $$; sleep 600");
  const client = await t.connect();
  const channel = await exec(client, "echo command");
  let seen = "";
  channel.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await eventually("it runs", () => seen.endsWith("\n"));
  client.destroy();
  await eventually("it is gone", () => !isAlive(Number(seen)));
});

test("subsystems have none", async () => {
  await using t = serviceWith("echo rc; sleep 600");
  const client = await sftp(await t.connect());
  const listed = await new Promise<unknown>((resolve, reject) => {
    client.readdir(".", (error, list) => (error === undefined ? resolve(list.length) : reject(error)));
  });
  expect(listed).toBe(1);
});

test("a service that closes starts no command behind the script that it hung up on", async () => {
  await using t = serviceWith("echo $$; sleep 600");
  const client = await t.connect();
  const channel = await exec(client, "touch started");
  let seen = "";
  channel.on("data", (chunk: Buffer) => {
    seen += chunk.toString();
  });
  await eventually("it runs", () => seen.endsWith("\n"));
  await t.service.close();
  expect(isAlive(Number(seen))).toBe(false);
  expect(existsSync(join(t.home, "started"))).toBe(false);
});
