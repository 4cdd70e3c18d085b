/** The SSH agent, GnuPG and the display of this machine, forwarded to the workspace. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestDeployment } from "./deployment.ts";

const PATIENCE = { timeout: 30_000, interval: 50 };

const hasSshAgent = ["ssh-agent", "ssh-add", "ssh-keygen"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);

const hasXauth = spawnSync("sh", ["-c", "command -v xauth"]).status === 0;
const hasGpg = ["gpg", "gpgconf", "gpg-agent"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);

describe("what a session lends of this machine", () => {
  let deployment: TestDeployment;
  let sockets: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    sockets = join(deployment.folder, "sockets");
    mkdirSync(sockets, { mode: 0o700 });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  describe.runIf(hasSshAgent)("ssh -A (needs ssh-agent, ssh-add and ssh-keygen)", () => {
    let sshAgent: ChildProcess;
    let socket: string;
    let fingerprint: string;

    beforeAll(async () => {
      socket = join(sockets, "agent");
      sshAgent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
      await vi.waitFor(() => expect(existsSync(socket)).toBe(true), PATIENCE);
      const key = join(deployment.folder, "key");
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "a key of the laptop", "-f", key]);
      execFileSync("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: "ignore" });
      fingerprint = execFileSync("ssh-keygen", ["-l", "-f", `${key}.pub`], { encoding: "utf8" }).split(" ")[1]!;
    });

    afterAll(() => {
      sshAgent?.kill("SIGTERM");
    });

    it("lists the laptop's key in the workspace, with the agent of SSH_AUTH_SOCK or of --identity-agent", async () => {
      const environment = { SSH_AUTH_SOCK: socket };
      const done = await deployment.run(["ssh", "-A", "demo", "--", "ssh-add", "-l"], { environment });
      expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining(fingerprint)]);
      expect(done.stdout).toContain("a key of the laptop");
      const named = await deployment.run(["ssh", "-A", "--identity-agent", socket, "demo", "--", "ssh-add", "-l"]);
      expect(named.stdout).toBe(done.stdout);
    });

    it("signs in the workspace with a key that stays on the laptop, and leaves no socket behind", async () => {
      const environment = { SSH_AUTH_SOCK: socket };
      const script =
        'echo "$SSH_AUTH_SOCK"; ssh-add -L > signer.pub; echo text > file; ssh-keygen -q -Y sign -f signer.pub -n test file && cat file.sig';
      const done = await deployment.run(["ssh", "-A", "demo", "--", script], { environment });
      expect(done.stdout, done.stderr).toContain("BEGIN SSH SIGNATURE");
      const forwarded = done.stdout.split("\n")[0]!;
      expect(forwarded).not.toBe(socket);
      await expect.poll(() => existsSync(forwarded), PATIENCE).toBe(false);
    });

    it("forwards nothing without -A", async () => {
      const done = await deployment.run(["ssh", "demo", "--", 'echo "[$SSH_AUTH_SOCK]"'], {
        environment: { SSH_AUTH_SOCK: socket },
      });
      expect(done.stdout).toBe("[]\n");
    });
  });

  it("ssh -A without an agent says what to start", async () => {
    const done = await deployment.run(["ssh", "-A", "demo", "--", "true"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_NO_SSH_AGENT)")]);
    expect(done.stderr).toContain("ssh-agent");
  });

  describe.runIf(hasGpg)("ssh -G (needs gpg, gpgconf and gpg-agent)", () => {
    let home: string;
    let workspaceHome: string;

    beforeAll(async () => {
      home = join(deployment.folder, "gpg");
      workspaceHome = join(deployment.folder, "wgpg");
      for (const folder of [home, workspaceHome]) mkdirSync(folder, { mode: 0o700 });
      const gpg = (...args: string[]): string =>
        execFileSync("gpg", ["--batch", ...args], {
          env: { ...process.env, GNUPGHOME: home },
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        });
      gpg("--passphrase", "", "--quick-generate-key", "Laptop <laptop@example.com>", "ed25519", "sign", "never");
      deployment.startAgent(await deployment.createWorkspace("signs"), { GNUPGHOME: workspaceHome });
    });

    afterAll(() => {
      for (const folder of [home, workspaceHome])
        spawnSync("gpgconf", ["--kill", "all"], { env: { ...process.env, GNUPGHOME: folder } });
    });

    it("signs in the workspace with a key that stays on the laptop", async () => {
      const environment = { GNUPGHOME: home };
      const script =
        "echo text | gpg --batch --clearsign | tee signed | gpg --batch --verify 2>&1; gpg -K | wc -l; cat signed";
      const done = await deployment.run(["ssh", "-G", "signs", "--", script], { environment });
      expect(done.stdout, done.stderr).toContain('Good signature from "Laptop <laptop@example.com>"');
      const signed = deployment.write("signed", done.stdout.slice(done.stdout.indexOf("-----BEGIN PGP SIGNED")));
      const checked = spawnSync("gpg", ["--batch", "--verify", signed], { env: { ...process.env, GNUPGHOME: home } });
      expect(checked.status, String(checked.stderr)).toBe(0);
      const keys = join(workspaceHome, "private-keys-v1.d");
      expect(existsSync(keys) ? readdirSync(keys) : []).toEqual([]);
    });

    it("reports on which side GnuPG is missing", async () => {
      const bare = join(deployment.folder, "bare");
      mkdirSync(bare);
      symlinkSync(process.execPath, join(bare, "node"));
      const here = await deployment.run(["ssh", "-G", "signs", "--", "true"], { environment: { PATH: bare } });
      expect([here.code, here.stderr]).toEqual([1, expect.stringContaining("is not installed on this machine")]);
      deployment.startAgent(await deployment.createWorkspace("bare"), { PATH: bare, SHELL: "/bin/sh" });
      const there = await deployment.run(["ssh", "-G", "bare", "--", "true"], { environment: { GNUPGHOME: home } });
      expect([there.code, there.stderr]).toEqual([1, expect.stringContaining("not installed in the workspace")]);
    });
  });

  describe.runIf(hasXauth)("ssh -X (needs xauth)", () => {
    it("leads a program of the workspace to this machine's display, with the display's own cookie", async () => {
      const real = "0123456789abcdef0123456789abcdef";
      const setups: Buffer[] = [];
      const display = createServer((socket) => {
        socket.on("data", (chunk: Buffer) => {
          setups.push(chunk);
          socket.end("drawn");
        });
      }).listen(join(sockets, "x11:0"));
      await once(display, "listening");
      const authority = join(deployment.folder, "authority");
      const environment = { DISPLAY: `${join(sockets, "x11:0")}`, XAUTHORITY: authority };
      execFileSync("xauth", ["-q", "-f", authority, "add", environment.DISPLAY, "MIT-MAGIC-COOKIE-1", real]);
      const client = deployment.write(
        "x11.cjs",
        `const { execFileSync } = require("node:child_process");
         const cookie = /MIT-MAGIC-COOKIE-1\\s+([0-9a-f]+)/.exec(execFileSync("xauth", ["-q", "list", process.env.DISPLAY]))[1];
         const head = Buffer.from("6c000b0000001200100000004d49542d4d414749432d434f4f4b49452d310000", "hex");
         const port = 6000 + Number(/:(\\d+)/.exec(process.env.DISPLAY)[1]);
         require("node:net").connect(port, "127.0.0.1", function () { this.write(Buffer.concat([head, Buffer.from(cookie, "hex")])); })
           .on("data", (data) => console.log(cookie + " " + data));`,
      );
      const done = await deployment.run(["ssh", "-X", "demo", "--", `${process.execPath} ${client}`], { environment });
      display.close();
      const [cookie, answer] = done.stdout.trim().split(" ");
      expect([done.code, answer], done.stderr).toEqual([0, "drawn"]);
      expect(cookie).toMatch(/^[0-9a-f]{32}$/);
      expect(cookie).not.toBe(real);
      expect(setups[0]!.subarray(-16).toString("hex")).toBe(real);
    });

    it("reports that there is no display", async () => {
      const done = await deployment.run(["ssh", "-X", "demo", "--", "true"]);
      expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_NO_DISPLAY)")]);
    });
  });
});
