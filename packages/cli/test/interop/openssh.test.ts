/** OpenSSH's own tools with the configuration written by `coder config-ssh`. */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";

const missing = missingTools("ssh", "scp", "sftp", "rsync", "git").filter((name) => name !== "root");
const canMount =
  spawnSync("sh", ["-c", "command -v sshfs && command -v fusermount3 && test -w /dev/fuse"]).status === 0;

describe.skipIf(missing.length > 0)(
  `OpenSSH with coder config-ssh (missing here: ${missing.join(", ") || "nothing"})`,
  () => {
    let deployment: TestDeployment;
    let config: string;

    beforeAll(async () => {
      deployment = await TestDeployment.start();
      deployment.startAgent(await deployment.createWorkspace("demo"));
      config = join(deployment.folder, "ssh config");
      const made = await deployment.run([
        ...["config-ssh", "--yes", "--ssh-config-file", config],
        ...["--ssh-option", `ControlPath="${join(deployment.folder, "control")}"`],
      ]);
      expect(made.code, made.stderr).toBe(0);
      expect((await run("ssh", "coder.demo", "echo hello")).stdout).toBe("hello\n");
    });

    afterAll(async () => {
      await deployment?.close();
    });

    function run(
      command: string,
      ...args: readonly string[]
    ): Promise<{ code: number; stdout: string; stderr: string }> {
      return new Promise((resolve) => {
        execFile(
          command,
          ["-F", config, ...args],
          { env: deployment.environment(), encoding: "utf8", maxBuffer: 64 * 1024 * 1024 },
          (error, stdout, stderr) => resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
        );
      });
    }

    const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

    it.each(["coder.demo", "demo.coder", "coder.owner--demo", "main.demo.owner.coder"])(
      "%s is the workspace's shell",
      async (host) => {
        expect(await run("ssh", host, "echo $CODER_WORKSPACE_NAME")).toEqual({ code: 0, stdout: "demo\n", stderr: "" });
      },
    );

    it("a host name without a workspace is reported and runs nothing", async () => {
      const pwned = join(deployment.folder, "pwned");
      for (const host of ["coder.no-such", "no-such.coder", `coder.$(touch ${pwned})`, `coder.a;touch ${pwned}`]) {
        const done = await run("ssh", "--", host, "true");
        expect([done.code, done.stdout]).toEqual([255, ""]);
        expect(done.stderr).toMatch(/There is no workspace "no-such"|hostname contains invalid characters|not found/);
      }
      expect(existsSync(pwned)).toBe(false);
    });

    it.each([
      ["exit 0", 0],
      ["exit 42", 42],
      ["kill -9 $$", 255],
      ["no-such-command", 127],
    ])("ssh ends %j with %i", async (command, code) => {
      expect((await run("ssh", "coder.demo", command)).code).toBe(code);
    });

    it("ssh keeps the streams apart, and gives a terminal of its size with -tt", async () => {
      expect(await run("ssh", "coder.demo", "echo out; echo err >&2")).toEqual({
        code: 0,
        stdout: "out\n",
        stderr: "err\n",
      });
      expect((await run("ssh", "-tt", "coder.demo", "test -t 0 && echo terminal")).stdout).toContain("terminal");
    });

    it("scp, sftp and rsync carry files both ways unchanged", async () => {
      const there = join(deployment.folder, "there");
      mkdirSync(there);
      const file = join(deployment.folder, "data");
      writeFileSync(file, randomBytes(16 * 1024 * 1024));
      expect((await run("scp", file, `coder.demo:${there}/scp`)).code).toBe(0);
      expect((await run("scp", `coder.demo:${there}/scp`, join(deployment.folder, "scp-back"))).code).toBe(0);
      const batch = deployment.write(
        "batch",
        `put ${file} ${there}/sftp\nget ${there}/sftp ${deployment.folder}/sftp-back\n`,
      );
      expect((await run("sftp", "-b", batch, "coder.demo")).code).toBe(0);
      execFileSync("rsync", ["-e", `ssh -F '${config}'`, file, `coder.demo:${there}/rsync`], {
        env: deployment.environment(),
      });
      const names = [
        join(there, "scp"),
        join(there, "sftp"),
        join(there, "rsync"),
        ...["scp-back", "sftp-back"].map((name) => join(deployment.folder, name)),
      ];
      expect(new Set(names.map(digest))).toEqual(new Set([digest(file)]));
    });

    it("git clones from and pushes to the workspace", () => {
      const git = (...args: string[]): string =>
        execFileSync(
          "git",
          ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main", ...args],
          {
            encoding: "utf8",
            stdio: ["ignore", "pipe", "pipe"],
            env: deployment.environment("owner", { GIT_SSH_COMMAND: `ssh -F '${config}'` }),
          },
        );
      const bare = join(deployment.folder, "bare.git");
      const clone = join(deployment.folder, "clone");
      git("init", "--bare", bare);
      git("clone", `coder.demo:${bare}`, clone);
      writeFileSync(join(clone, "file"), "content");
      git("-C", clone, "add", "file");
      git("-C", clone, "commit", "-m", "first");
      git("-C", clone, "push", "origin", "HEAD:main");
      expect(git("-C", bare, "show", "main:file")).toBe("content");
    });

    it.skipIf(!canMount)("sshfs mounts the workspace (needs sshfs and /dev/fuse)", async () => {
      const [there, here] = [join(deployment.folder, "shared"), join(deployment.folder, "mount")];
      for (const folder of [there, here]) mkdirSync(folder);
      writeFileSync(join(there, "file"), randomBytes(1 << 20));
      const mounted = await run("sshfs", "-o", "reconnect", `demo.coder:${there}`, here);
      expect(mounted.code, mounted.stderr).toBe(0);
      try {
        expect(digest(join(here, "file"))).toBe(digest(join(there, "file")));
        writeFileSync(join(here, "back"), "written through the mount");
        expect(readFileSync(join(there, "back"), "utf8")).toBe("written through the mount");
      } finally {
        execFileSync("fusermount3", ["-u", here]);
      }
    });

    it("ten sessions at once, and several over one master connection", async () => {
      const numbers = Array.from({ length: 10 }, (_, n) => n);
      const ten = await Promise.all(numbers.map((n) => run("ssh", "coder.demo", `sleep 0.2; echo ${n}`)));
      expect(ten.map((done) => Number(done.stdout))).toEqual(numbers);
      expect(
        (await run("ssh", "-o", "ControlMaster=yes", "-o", "ControlPersist=10", "coder.demo", "echo master")).stdout,
      ).toBe("master\n");
      expect((await run("ssh", "-o", "ControlMaster=no", "coder.demo", "echo shared")).stdout).toBe("shared\n");
      await run("ssh", "-O", "exit", "coder.demo");
    });
  },
);
