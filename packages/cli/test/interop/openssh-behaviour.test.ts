/** The same commands by ssh to a real sshd, by ssh through our ProxyCommand, and by coder ssh: all have to end alike. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort, TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";

const SSHD = "/usr/sbin/sshd";
const missing = missingTools("ssh", "ssh-keygen", SSHD).filter((name) => name !== "root");
const coder = join(import.meta.dirname, "../../dist/coder.cjs");

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Case {
  readonly name: string;
  readonly command?: string;
  /** Options of both programs, which call them alike. */
  readonly options?: readonly string[];
  readonly input?: string | Buffer;
  /** Output is compared by its digest. */
  readonly bulk?: boolean;
}

const MEGABYTES = randomBytes(8 << 20);
const CASES: readonly Case[] = [
  { name: "keeps the streams apart", command: "echo out; echo err >&2; echo out again" },
  { name: "passes 0", command: "true" },
  { name: "passes 1", command: "false" },
  { name: "passes 42", command: "exit 42" },
  { name: "passes 255", command: "exit 255" },
  { name: "says 127 for an unknown command", command: "no-such-command 2>/dev/null" },
  { name: "says 255 for a command that was killed", command: "kill -9 $$" },
  { name: "says 255 for one that was terminated", command: "kill -15 $$" },
  { name: "passes the code of the last of a pipe", command: "true | sh -c 'exit 9'" },
  { name: "runs in the home directory", command: '[ "$PWD" = "$HOME" ] && echo home' },
  {
    name: "gives the shell the words as they are",
    command: "printf '%s|' \"a b\" '$HOME' 'it'\\''s' \"$((6*7))\" *no*match*",
  },
  { name: "runs several lines", command: "for i in 1 2 3\ndo\n  echo $i\ndone" },
  { name: "gives no terminal", command: "test -t 0 || test -t 1 || echo none" },
  { name: "reads standard input to its end", command: "cat; echo end", input: "one\ntwo" },
  { name: "has an empty standard input", command: "cat; echo end", input: "" },
  { name: "runs a script from standard input", options: ["-T"], input: "echo from the script; exit 5\n" },
  { name: "carries megabytes in", command: "sha256sum", input: MEGABYTES },
  { name: "carries megabytes out", command: "head -c 8388608 /dev/zero | tr '\\0' '\\377'; exit 3", bulk: true },
  { name: "carries binary both ways", command: "cat", input: MEGABYTES, bulk: true },
  { name: "does not mind who leaves input unread", command: "head -c 3; exit 4", input: MEGABYTES },
  { name: "waits for what a background job still says", command: "(sleep 0.5; echo late) & echo early" },
  {
    name: "does not wait for a background job without output",
    command: "sleep 60 >/dev/null 2>&1 </dev/null & echo done",
  },
  { name: "passes the code after standard output was closed", command: "exec >&-; exit 6" },
  { name: "passes the code after both were closed", command: "exec >&- 2>&-; exit 7" },
  { name: "brings all of both streams before the code", command: "seq 1 20000; seq 1 20000 >&2; exit 8", bulk: true },
  {
    name: "gives a terminal with -tt, and its line ends",
    options: ["-tt"],
    command: "test -t 0 && test -t 1 && echo terminal",
  },
  { name: "joins the streams on a terminal", options: ["-tt"], command: "echo out; echo err >&2" },
  {
    name: "ends a terminal by Ctrl-D",
    options: ["-tt"],
    command: "echo ready; cat >/dev/null; echo ended",
    input: "\u0004",
  },
  {
    name: "interrupts by Ctrl-C on a terminal",
    options: ["-tt"],
    command: "stty -echo; echo go; sleep 60",
    input: "\u0003",
  },
];
/** `coder ssh` has one -t, and asks for a terminal only when it has one itself. */
const ONLY_SSH = new Set(["-tt"]);

describe.skipIf(missing.length > 0)(`as OpenSSH does (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let sshd: ChildProcess | undefined;
  let config: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"), { SHELL: userInfo().shell ?? "/bin/sh" });
    config = join(deployment.folder, "ssh_config");
    const made = await deployment.run(["config-ssh", "--yes", "--ssh-config-file", config]);
    expect(made.code, made.stderr).toBe(0);
    const port = await startSshd();
    execFileSync("sh", [
      "-c",
      `printf '%s\\n' 'Host stock' ' HostName 127.0.0.1' ' Port ${port}' ' IdentityFile ${deployment.folder}/key' ' IdentitiesOnly yes' ' StrictHostKeyChecking no' ' UserKnownHostsFile /dev/null' ' LogLevel ERROR' >> '${config}'`,
    ]);
    expect(await run("ssh", ["-F", config, "stock", "echo up"])).toEqual({ code: 0, stdout: "up\n", stderr: "" });
  });

  afterAll(async () => {
    sshd?.kill("SIGTERM");
    await deployment?.close();
  });

  async function startSshd(): Promise<number> {
    const folder = deployment.folder;
    for (const key of ["host", "key"])
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, key)]);
    execFileSync("cp", [join(folder, "key.pub"), join(folder, "authorized")]);
    // It wants the folder of its unprivileged part, and makes none itself.
    if (userInfo().uid === 0) mkdirSync("/run/sshd", { recursive: true });
    const port = await freePort();
    const settings = {
      Port: port,
      ListenAddress: "127.0.0.1",
      HostKey: join(folder, "host"),
      PidFile: "none",
      AuthorizedKeysFile: join(folder, "authorized"),
      StrictModes: "no",
      UsePAM: "no",
      PermitRootLogin: "yes",
      PasswordAuthentication: "no",
      PrintMotd: "no",
      PrintLastLog: "no",
      MaxStartups: "100",
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    sshd = spawn(SSHD, ["-D", "-e", "-f", "/dev/null", ...options], { stdio: "ignore" });
    for (let tries = 0; tries < 200; tries++) {
      const socket = connect({ port, host: "127.0.0.1" });
      const up = await once(socket, "connect").then(
        () => true,
        () => false,
      );
      socket.destroy();
      if (up) return port;
      await sleep(25);
    }
    throw new Error("sshd does not listen");
  }

  async function run(program: string, args: readonly string[], input: string | Buffer = ""): Promise<Outcome> {
    const child = spawn(program, args, { env: deployment.environment(), stdio: ["pipe", "pipe", "pipe"] });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined); // a program that leaves input unread
    if (input === "\u0003" || input === "\u0004") {
      // A key is pressed when somebody sees the program.
      await once(child.stdout, "data");
      child.stdin.write(input);
    } else child.stdin.end(input);
    const limit = setTimeout(() => child.kill("SIGKILL"), 30_000);
    const [code] = (await once(child, "close")) as [number | null];
    clearTimeout(limit);
    return { code, stdout: Buffer.concat(stdout).toString("latin1"), stderr: Buffer.concat(stderr).toString("latin1") };
  }

  const brief = (outcome: Outcome, bulk: boolean): Outcome => {
    const digest = (text: string): string => createHash("sha256").update(text, "latin1").digest("hex");
    // The client's own word about a terminal that closed.
    const stderr = outcome.stderr.replace(/^(Shared c|C)onnection to .* closed\.\r?\n/m, "");
    return bulk
      ? { code: outcome.code, stdout: digest(outcome.stdout), stderr: digest(stderr) }
      : { ...outcome, stderr };
  };

  it.each(CASES)("$name", async ({ command, options = [], input, bulk = false }) => {
    const words = command === undefined ? [] : [command];
    const stock = brief(await run("ssh", ["-F", config, ...options, "stock", ...words], input), bulk);
    expect(stock.code, "ssh itself was stuck").not.toBe(null);
    const proxied = brief(await run("ssh", ["-F", config, ...options, "coder.demo", ...words], input), bulk);
    expect(proxied).toEqual(stock);
    if (options.some((option) => ONLY_SSH.has(option))) return;
    const own = await run(
      process.execPath,
      [coder, "ssh", ...options, "demo", ...(command === undefined ? [] : ["--", command])],
      input,
    );
    expect(brief(own, bulk)).toEqual(stock);
  });
});
