/** What the VS Code extension and JetBrains Toolbox write, run and read: their unchanged command lines, through the real ssh. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";

const missing = missingTools("ssh").filter((name) => name !== "root");
const HOST = "127.0.0.1";

describe.skipIf(missing.length > 0)(`editors (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let binary: string;
  let configDir: string;
  const running: ChildProcess[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    configDir = deployment.environment()["CODER_CONFIG_DIR"]!;
    // Editors run a program by its path, often in a folder whose name contains a blank.
    mkdirSync(join(deployment.folder, "global storage"));
    binary = join(deployment.folder, "global storage", "coder-linux-amd64");
    const script = join(import.meta.dirname, "../../dist/coder.cjs");
    writeFileSync(binary, `#!/bin/sh\nexec "${process.execPath}" "${script}" "$@"\n`);
    chmodSync(binary, 0o755);
  });

  afterEach(() => {
    for (const child of running.splice(0)) child.kill("SIGKILL");
  });

  afterAll(async () => {
    await deployment?.close();
  });

  /** An editor's environment, in which nothing names the deployment. */
  const environment = (): NodeJS.ProcessEnv => ({ ...deployment.environment(), CODER_CONFIG_DIR: undefined });

  function run(program: string, args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return new Promise((resolve) => {
      execFile(program, args, { env: environment(), encoding: "utf8", maxBuffer: 16 << 20 }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
      );
    });
  }

  const coder = (...args: string[]): ReturnType<typeof run> => run(binary, ["--global-config", configDir, ...args]);

  /** A session that stays open, like that of an editor's server. */
  async function connect(config: string, host: string): Promise<ChildProcess> {
    const ssh = spawn("ssh", ["-F", config, host, "echo ready; cat"], { env: environment() });
    running.push(ssh);
    let said = "";
    ssh.stderr!.on("data", (chunk) => {
      said += String(chunk);
    });
    const early = once(ssh, "exit").then(() => {
      throw new Error(`ssh ended: ${said}`);
    });
    const [first] = (await Promise.race([once(ssh.stdout!, "data"), early])) as [Buffer];
    early.catch(() => undefined); // it may end from here on
    expect(String(first)).toMatch(/^ready/);
    return ssh;
  }

  /** The file named after the ssh process, once it says how the workspace is reached. */
  async function networkInfo(folder: string, ssh: ChildProcess): Promise<Record<string, unknown>> {
    const path = join(folder, `${ssh.pid}.json`);
    for (let tries = 0; tries < 200; tries++) {
      try {
        const info = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
        if (info["p2p"] === true) return info;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error; // the file is complete or absent
      }
      await sleep(50);
    }
    throw new Error(`no direct path in ${path}; there is ${readdirSync(folder).join(", ")}`);
  }

  it("VS Code connects by its own block and shows the path", async () => {
    const [info, logs] = [join(deployment.folder, "net info"), join(deployment.folder, "logs")];
    for (const folder of [info, logs]) mkdirSync(folder);
    const prefix = `coder-vscode.${HOST}--`;
    const config = deployment.write(
      "vscode config",
      [
        `# --- START CODER VSCODE ${HOST} ---`,
        `Host ${prefix}*`,
        "  ConnectTimeout 0",
        "  LogLevel ERROR",
        `  ProxyCommand "${binary}" --global-config "${configDir}" ssh --disable-autostart --stdio --usage-app=vscode --network-info-dir "${info}" --log-dir "${logs}" -v --ssh-host-prefix ${prefix} %h`,
        "  ServerAliveCountMax 3",
        "  ServerAliveInterval 10",
        "  SetEnv CODER_SSH_SESSION_TYPE=vscode",
        "  StrictHostKeyChecking no",
        "  UserKnownHostsFile /dev/null",
        `# --- END CODER VSCODE ${HOST} ---`,
        "",
      ].join("\n"),
    );
    const ssh = await connect(config, `${prefix}owner--demo.main`);
    const status = await networkInfo(info, ssh);
    expect(status).toEqual({
      p2p: true,
      latency: expect.any(Number),
      preferred_derp: "Coder Embedded Relay",
      derp_latency: { "Coder Embedded Relay": expect.any(Number) },
      upload_bytes_sec: expect.any(Number),
      download_bytes_sec: expect.any(Number),
      using_coder_connect: false,
    });
    const [log] = readdirSync(logs);
    expect(log).toMatch(new RegExp(`^coder-ssh-\\d{8}-\\d{6}-[a-zA-Z0-9]{5}-${ssh.pid}\\.log$`));
    expect(statSync(join(logs, log!)).mode & 0o777).toBe(0o600);
    const old = await connect(config, `${prefix}owner--demo`);
    expect(old.exitCode).toBe(null);
  });

  it("JetBrains Toolbox connects, bare -- and all", async () => {
    const [info, logs] = [join(deployment.folder, "toolbox info"), join(deployment.folder, "toolbox logs")];
    for (const folder of [info, logs]) mkdirSync(folder);
    const prefix = "coder-jetbrains-toolbox-127.0.0.1";
    const config = deployment.write(
      "jetbrains config",
      [
        `Host ${prefix}--*`,
        `  ProxyCommand "${binary}" --global-config "${configDir}" --url ${deployment.url} ssh --stdio --disable-autostart --network-info-dir "${info}" --log-dir "${logs}" -v --usage-app=jetbrains --ssh-host-prefix ${prefix}-- -- %h`,
        "  ConnectTimeout 10",
        "  StrictHostKeyChecking no",
        "  UserKnownHostsFile /dev/null",
        "  LogLevel ERROR",
        "  SetEnv CODER_SSH_SESSION_TYPE=JetBrains",
        "",
      ].join("\n"),
    );
    const ssh = await connect(config, `${prefix}--owner--demo.main`);
    const status = await networkInfo(info, ssh);
    const relays = status["derp_latency"] as Record<string, number>;
    expect(relays[status["preferred_derp"] as string]).toBeGreaterThan(0);
    expect(readdirSync(logs)).toHaveLength(1);
  });

  it("the version satisfies the checks of editors", async () => {
    const { version } = JSON.parse((await run(binary, ["version", "--output", "json"])).stdout) as { version: string };
    const [major, minor] = /^v(\d+)\.(\d+)\.\d+/.exec(version)!.slice(1).map(Number);
    expect(major).toBe(2);
    // Start reasons are the newest CLI feature that editors require and this command has; a keyring (2.29) is not supported.
    expect(minor).toBeGreaterThanOrEqual(25);
    expect(minor).toBeLessThan(29);
  });

  it("logging in with a token keeps that token, and gives it back", async () => {
    const token = (await coder("tokens", "create", "--name", "editor")).stdout.trim();
    const other = join(deployment.folder, "editor login");
    const at = ["--global-config", other];
    const done = await run(binary, [...at, "login", "--use-token-as-session", "--token", token, deployment.url]);
    expect(done.code, done.stderr).toBe(0);
    expect(await run(binary, [...at, "login", "token"])).toEqual({ code: 0, stdout: `${token}\n`, stderr: "" });
    expect(readFileSync(join(other, "session"), "utf8").trim()).toBe(token);
  });

  it("speedtest, netcheck and ping print the parsed format", async () => {
    const speed = JSON.parse((await coder("speedtest", "owner/demo", "--output", "json", "-t", "1s")).stdout);
    expect(speed.overall.throughput_mbits).toBeGreaterThan(0);
    expect(Array.isArray(speed.intervals)).toBe(true);
    const netcheck = JSON.parse((await coder("netcheck", "--output", "json")).stdout);
    expect(Object.keys(netcheck.derp.regions).length).toBeGreaterThan(0);
    expect(netcheck.interfaces.interfaces.length).toBeGreaterThan(0);
    const bundle = join(deployment.folder, "editor bundle.zip");
    expect((await coder("support", "bundle", "--output-file", bundle, "--yes", "owner/demo")).code).toBe(0);
    expect(readFileSync(bundle).subarray(0, 2).toString()).toBe("PK");
    for (const command of [["start", "--reason", "vscode_connection"], ["update"]])
      expect((await coder(...command, "owner/demo")).code).toBe(0);
    const ping = await coder("ping", "-n", "2", "owner/demo");
    expect(ping.code).toBe(0);
    expect(ping.stdout).toMatch(/pong from demo (p2p via|proxied via DERP)/);
  });
});
