/** The service with the OpenSSH programs of this machine, through a ProxyCommand. */
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SshServiceOptions } from "./ssh-service.ts";
import { eventually, TestService } from "./testing.ts";

const found = (program: string): boolean =>
  (process.env["PATH"] ?? "").split(":").some((place) => existsSync(join(place, program)));
const missing = ["ssh", "scp", "sftp"].filter((program) => !found(program));

const BRIDGE = `
const socket = require("net").connect({ path: process.argv[2], allowHalfOpen: true });
process.stdin.pipe(socket);
socket.pipe(process.stdout);
socket.on("error", (error) => { console.error(String(error)); process.exit(1); });
socket.on("end", () => process.exit(0));
`;

class OpenSsh implements AsyncDisposable {
  readonly t: TestService;
  readonly work: string;
  readonly #server;

  private constructor(options: Partial<SshServiceOptions>) {
    this.t = new TestService(options);
    this.work = join(this.t.home, "client");
    mkdirSync(this.work);
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.t.service.handleConnection(socket, { address: "fd7a::9", port: 77 });
    });
    writeFileSync(join(this.work, "bridge.cjs"), BRIDGE);
    const proxy = `${process.execPath} ${join(this.work, "bridge.cjs")} ${join(this.work, "s")}`;
    const lines = [
      "Host *",
      `  ProxyCommand ${proxy}`,
      "  StrictHostKeyChecking no",
      "  UserKnownHostsFile /dev/null",
      "  LogLevel ERROR",
      "  IgnoreUnknown WarnWeakCrypto",
      "  WarnWeakCrypto no",
    ];
    writeFileSync(join(this.work, "config"), `${lines.join("\n")}\n`);
  }

  static async start(options: Partial<SshServiceOptions> = {}): Promise<OpenSsh> {
    const started = new OpenSsh(options);
    started.#server.listen(join(started.work, "s"));
    await once(started.#server, "listening");
    return started;
  }

  async run(
    program: string,
    args: readonly string[],
    input: string | Buffer = "",
  ): Promise<{ status: number; stdout: Buffer; stderr: string }> {
    const child = spawn(program, ["-F", join(this.work, "config"), ...args], { cwd: this.work, stdio: "pipe" });
    const stdout: Buffer[] = [];
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin.on("error", () => undefined); // the remote program may not read its input
    child.stdin.end(input);
    const [status] = (await once(child, "close")) as [number];
    return { status, stdout: Buffer.concat(stdout), stderr };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await this.t[Symbol.asyncDispose]();
  }
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(missing.length > 0)(`with OpenSSH's programs (missing here: ${missing.join(", ") || "none"})`, () => {
  test.each([
    ["streams and code", ["ws", "echo out; echo err >&2; exit 42"], "", 42, "out\n", "err\n"],
    ["a killed program", ["ws", "kill -9 $$"], "", 255, "", ""],
    ["a missing program", ["ws", "no-such-program-here"], "", 127, "", "not found"],
    ["-T reads the script from its input", ["-T", "ws"], "echo from-script; exit 6\n", 6, "from-script\n", ""],
    ["-n gives no input", ["-n", "ws", "wc -c"], "ignored", 0, "0\n", ""],
    [
      "-tt makes a terminal",
      ["-tt", "ws", "test -t 0 && test -t 1 && echo terminal; exit 3"],
      "",
      3,
      "terminal\r\n",
      "",
    ],
    ["-o SetEnv passes a variable", ["-o", "SetEnv=COLOUR=blue", "ws", "echo $COLOUR"], "", 0, "blue\n", ""],
    ["several words are one command", ["ws", "echo", "'a  b'", "c"], "", 0, "a  b c\n", ""],
    ["any user name", ["-l", "somebody-else", "ws", "echo $USER"], "", 0, "tester\n", ""],
    ["input passes through", ["ws", "tr a-z A-Z"], "shout", 0, "SHOUT", ""],
  ] as const)("%s", async (_name, args, input, status, stdout, stderr) => {
    await using ssh = await OpenSsh.start();
    const result = await ssh.run("ssh", args, input);
    expect(result.stdout.toString()).toBe(stdout);
    expect(result.stderr).toContain(stderr);
    expect(result.status).toBe(status);
  });

  test("64 MiB each way, unchanged", async () => {
    await using ssh = await OpenSsh.start();
    const bytes = randomBytes(64 * 1024 * 1024);
    const result = await ssh.run("ssh", ["ws", "cat"], bytes);
    expect(result.stdout.length).toBe(bytes.length);
    expect(sha256(result.stdout)).toBe(sha256(bytes));
  });

  test("new keys during a transfer", async () => {
    await using ssh = await OpenSsh.start({ limits: { rekeyBytes: 1_000_000 } });
    const bytes = randomBytes(8 * 1024 * 1024);
    const result = await ssh.run("ssh", ["-o", "RekeyLimit=700K", "ws", "cat"], bytes);
    expect(sha256(result.stdout)).toBe(sha256(bytes));
  });

  test.each(["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"])(
    "cipher %s works",
    async (cipher) => {
      await using ssh = await OpenSsh.start();
      const result = await ssh.run("ssh", ["-c", cipher, "ws", "cat"], Buffer.alloc(300_000, 5));
      expect(result.stdout.equals(Buffer.alloc(300_000, 5))).toBe(true);
    },
  );

  test.each(["builtin", undefined])(
    "scp and sftp with the %s server: files and directories, there and back",
    async (sftpServer) => {
      await using ssh = await OpenSsh.start(sftpServer === undefined ? {} : { sftpServer });
      const bytes = randomBytes(5_000_000);
      mkdirSync(join(ssh.work, "tree", "deep"), { recursive: true });
      writeFileSync(join(ssh.work, "tree", "deep", "file with space"), bytes);
      writeFileSync(join(ssh.work, "tree", "empty"), "", { mode: 0o755 });
      expect(await ssh.run("scp", ["-rp", "tree", "ws:remote"])).toMatchObject({ status: 0, stderr: "" });
      expect(sha256(readFileSync(join(ssh.t.home, "remote", "deep", "file with space")))).toBe(sha256(bytes));
      expect(await ssh.run("scp", ["-rp", "ws:remote", "back"])).toMatchObject({ status: 0, stderr: "" });
      expect(sha256(readFileSync(join(ssh.work, "back", "deep", "file with space")))).toBe(sha256(bytes));
      const batch = [
        "mkdir made",
        "cd made",
        "put tree/empty one",
        "rename one two",
        "ln -s two link",
        "chmod 600 two",
        "ls -l",
        "pwd",
        "get two fetched",
        "rm link",
        "rm two",
        "cd ..",
        "rmdir made",
        "-rm not-there",
      ];
      const result = await ssh.run("sftp", ["-b", "-", "ws"], `${batch.join("\n")}\n`);
      expect(result.stdout.toString()).toMatch(/-rw-------.* two/);
      expect(result.stdout.toString()).toMatch(/lrwxrwxrwx.* link/);
      expect(result.status).toBe(0);
      expect(existsSync(join(ssh.t.home, "made"))).toBe(false);
      expect(readFileSync(join(ssh.work, "fetched")).length).toBe(0);
    },
  );

  test("legacy scp without sftp", async () => {
    await using ssh = await OpenSsh.start();
    writeFileSync(join(ssh.work, "a"), "legacy");
    expect((await ssh.run("scp", ["-O", "a", "ws:b"])).status).toBe(0);
    expect(readFileSync(join(ssh.t.home, "b"), "utf8")).toBe("legacy");
  });

  test("-L, -R and -W carry connections", async () => {
    await using ssh = await OpenSsh.start();
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    echo.listen(0, "127.0.0.1");
    await once(echo, "listening");
    const { port } = echo.address() as AddressInfo;
    try {
      const direct = await ssh.run("ssh", ["-W", `127.0.0.1:${port}`, "ws"], "through -W");
      expect(direct.stdout.toString()).toBe("through -W");
      const local = join(ssh.work, "local");
      const remote = join(ssh.work, "remote");
      const tunnel = spawn(
        "ssh",
        [
          "-F",
          join(ssh.work, "config"),
          "-L",
          `${local}:127.0.0.1:${port}`,
          "-R",
          `${remote}:127.0.0.1:${port}`,
          "ws",
          "echo up; cat",
        ],
        { cwd: ssh.work, stdio: ["pipe", "pipe", "inherit"] },
      );
      await once(tunnel.stdout, "data");
      for (const path of [local, remote]) {
        const socket = connect({ path });
        socket.end("both ways");
        let text = "";
        for await (const chunk of socket) text += String(chunk);
        expect(text).toBe("both ways");
      }
      tunnel.stdin.end();
      expect((await once(tunnel, "close"))[0]).toBe(0);
      await eventually("the remote socket is removed", () => !existsSync(remote));
    } finally {
      echo.close();
    }
  });

  test("one connection shared by many sessions", async () => {
    await using ssh = await OpenSsh.start();
    const control = join(ssh.work, "c");
    const master = spawn("ssh", ["-F", join(ssh.work, "config"), "-M", "-S", control, "ws", "echo up; cat"], {
      cwd: ssh.work,
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(master.stdout, "data");
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, i) => ssh.run("ssh", ["-S", control, "ws", `echo ${i}; exit ${i}`])),
    );
    expect(results.map((result) => [result.status, result.stdout.toString()])).toEqual(
      Array.from({ length: 12 }, (_, i) => [i, `${i}\n`]),
    );
    expect(ssh.t.service.connections).toBe(1);
    master.stdin.end();
    await once(master, "close");
  });
});
