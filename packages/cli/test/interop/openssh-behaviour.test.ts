/** Runs the same commands by ssh to a real sshd, by ssh through our ProxyCommand, and by coder ssh: the results must be alike. */
import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Pty } from "coder-agent/host/pty";
import { TerminalDevice } from "coder-agent/os/terminal-device";
import type { TerminalModes } from "coder-agent/os/termios";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";
import { SSHD, type StockServer, startSshd } from "./sshd.ts";

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
  /** Options that both programs have under the same names. */
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
  { name: "reads a script from /dev/stdin", command: "bash /dev/stdin x", input: 'echo "$1"; echo err > /dev/stderr' },
  {
    name: "opens its streams again by name",
    command: "echo out > /dev/stdout; echo err > /dev/stderr; echo more > /proc/self/fd/1; cat /proc/self/fd/0",
    input: "in",
  },
  { name: "has pipes for streams", command: "readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 | tr -d 0-9" },
  { name: "has three descriptors", command: "ls /proc/$$/fd" },
  { name: "takes a command of 100 KiB", command: `echo ${"x".repeat(100 * 1024)} | wc -c` },
  { name: "says 255 for a signal without a name in SSH", command: "kill -VTALRM $$; sleep 5" },
  { name: "says 255 for the first real-time signal", command: "kill -34 $$; sleep 5" },
  { name: "says 255 for the last real-time signal", command: "kill -64 $$; sleep 5" },
  { name: "says 255 for a real-time signal on a terminal", options: ["-tt"], command: "kill -37 $$; sleep 5" },
  { name: "calls a command's shell by its name", command: "echo $0" },
  { name: "says that it has no such subsystem", options: ["-s"], command: "nosuch" },
  {
    name: "changes keys each MiB of 16, in",
    options: ["-o", "RekeyLimit=1M"],
    command: "head -c 16777216 | sha256sum",
    input: Buffer.alloc(16 << 20, 7),
  },
  {
    name: "changes keys each MiB of 16, out",
    options: ["-o", "RekeyLimit=1M"],
    command: "head -c 16777216 /dev/zero; exit 3",
    bulk: true,
  },
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
/** `coder ssh` has a single -t, and requests a terminal only when it has one itself. */
const ONLY_SSH = new Set(["-tt", "-s", "-o"]);

describe.skipIf(missing.length > 0)(`as OpenSSH does (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let sshd: StockServer | undefined;
  let config: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"), { SHELL: userInfo().shell ?? "/bin/sh" });
    config = join(deployment.folder, "ssh_config");
    const made = await deployment.run(["config-ssh", "--yes", "--ssh-config-file", config]);
    expect(made.code, made.stderr).toBe(0);
    sshd = await startSshd(deployment.folder);
    execFileSync("sh", [
      "-c",
      `printf '%s\\n' 'Host stock' ' HostName 127.0.0.1' ' Port ${sshd.port}' ' IdentityFile ${deployment.folder}/key' ' IdentitiesOnly yes' ' StrictHostKeyChecking no' ' UserKnownHostsFile /dev/null' ' LogLevel ERROR' >> '${config}'`,
    ]);
    expect(await run("ssh", ["-F", config, "stock", "echo up"])).toEqual({ code: 0, stdout: "up\n", stderr: "" });
  });

  afterAll(async () => {
    sshd?.process.kill("SIGTERM");
    await deployment?.close();
  });

  async function run(program: string, args: readonly string[], input: string | Buffer = ""): Promise<Outcome> {
    const child = spawn(program, args, { env: deployment.environment(), stdio: ["pipe", "pipe", "pipe"] });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => undefined); // a program that leaves input unread
    if (input === "\u0003" || input === "\u0004") {
      // The key is pressed once the program has written something.
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
    // The client's own message about a closed terminal.
    const stderr = outcome.stderr.replace(/^(Shared c|C)onnection to .* closed\.\r?\n/m, "");
    return bulk
      ? { code: outcome.code, stdout: digest(outcome.stdout), stderr: digest(stderr) }
      : { ...outcome, stderr };
  };

  const MODES: readonly TerminalModes[] = [
    {},
    { ECHO: 0, ICANON: 0, ISIG: 0 },
    { VINTR: 5, VQUIT: 255, VERASE: 8, VKILL: 11, VEOF: 24, VSTART: 255, VSTOP: 255, VSUSP: 255, VWERASE: 2 },
    { VREPRINT: 255, VLNEXT: 255, VDISCARD: 1, VEOL: 2, VEOL2: 4 },
    { IXON: 0, IXOFF: 1, IXANY: 1, INLCR: 1, IGNCR: 1, ICRNL: 0, ISTRIP: 1, IUTF8: 1, IMAXBEL: 1, IGNPAR: 1, INPCK: 1 },
    { OPOST: 1, ONLCR: 0, OCRNL: 1, ONOCR: 1, ONLRET: 1, OLCUC: 1 },
    { ECHOE: 0, ECHOK: 0, ECHONL: 1, ECHOCTL: 0, ECHOKE: 0, NOFLSH: 1, TOSTOP: 1, IEXTEN: 0 },
    { TTY_OP_ISPEED: 9600, TTY_OP_OSPEED: 9600 },
  ];

  it.each(MODES)("gives the terminal the modes of the one here: %o", async (modes) => {
    const seen = async (host: string): Promise<string> => {
      const device = new TerminalDevice();
      device.setModes(modes);
      const environment = deployment.environment() as Record<string, string>;
      const args = ["-F", config, "-t", host, "stty -a"];
      const size = { columns: 100, rows: 30 };
      const terminal = new Pty({ file: "ssh", args, directory: deployment.folder, environment, size }, device);
      let screen = "";
      terminal.stream.on("data", (data: Buffer) => {
        screen += data.toString("latin1");
      });
      expect((await terminal.exited).code).toBe(0);
      return screen.replace(/(Shared c|C)onnection to .* closed\./i, "");
    };
    const stock = await seen("stock");
    expect(stock).toMatch(/baud/i);
    expect(await seen("coder.demo")).toBe(stock);
  });

  it("passes on a command that is not UTF-8", async () => {
    // Node's own spawn takes only text.
    const script = `exec ssh -F "$0" "$1" $'printf %s "\\xff\\xfe\\xc3" | od -An -tx1'`;
    const stock = await run("bash", ["-c", script, config, "stock"]);
    expect(stock.stdout.trim()).toBe("ff fe c3");
    expect(await run("bash", ["-c", script, config, "coder.demo"])).toEqual(stock);
  });

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
