/** asyncssh and golang.org/x/crypto/ssh against the agent, compared with a real sshd. */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { missingTools } from "../natlab/lab.ts";
import { SSHD, type StockServer, startSshd } from "./sshd.ts";

const missing = missingTools("go", "python3", "ssh-keygen", "bash", SSHD).filter((name) => name !== "root");
const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const goSource = join(import.meta.dirname, "../../../server/test/interop/go");
const built = join(import.meta.dirname, "../../../../.build/interop");
const forward = `
const { connect } = require("node:net");
const socket = connect(Number(process.argv[1]), "127.0.0.1");
process.stdin.pipe(socket).pipe(process.stdout);
`;

describe.skipIf(missing.length > 0)(`SSH clients (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let stock: StockServer | undefined;
  let proxies: { stock: string[]; own: string[] };

  beforeAll(async () => {
    mkdirSync(built, { recursive: true });
    execFileSync("go", ["build", "-o", join(built, "sshclient"), "./sshclient"], {
      cwd: goSource,
      stdio: ["ignore", "ignore", "inherit"],
    });
    if (!hasAsyncssh())
      execFileSync("python3", ["-m", "pip", "install", "-q", "--target", join(built, "python"), "asyncssh"]);
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"), { SHELL: userInfo().shell ?? "/bin/sh" });
    stock = await startSshd(deployment.folder);
    proxies = {
      stock: [process.execPath, "-e", forward, String(stock.port)],
      own: [process.execPath, coder, "ssh", "--stdio", "demo"],
    };
  });

  afterAll(async () => {
    stock?.process.kill("SIGTERM");
    await deployment?.close();
  });

  function environment(): NodeJS.ProcessEnv {
    return { ...deployment.environment(), PYTHONPATH: join(built, "python") };
  }

  function hasAsyncssh(): boolean {
    try {
      execFileSync("python3", ["-c", "import asyncssh"], {
        stdio: "ignore",
        env: { ...process.env, PYTHONPATH: join(built, "python") },
      });
      return true;
    } catch {
      return false;
    }
  }

  async function saw(client: readonly string[], proxy: readonly string[]): Promise<Record<string, unknown>> {
    const [file = "", ...args] = [...client, userInfo().username, stock!.key, ...proxy];
    const { stdout } = await promisify(execFile)(file, args, { env: environment(), maxBuffer: 1 << 24 });
    return JSON.parse(stdout) as Record<string, unknown>;
  }

  it.each([
    ["asyncssh", ["python3", join(import.meta.dirname, "asyncssh_client.py")]],
    ["golang.org/x/crypto/ssh", [join(built, "sshclient")]],
  ])("%s behaves as with sshd, with new keys each MiB of 64", async (_, client) => {
    const expected = await saw(client, proxies.stock);
    expect(expected["alive"]).toMatchObject({ stdout: "alive\n" });
    expect(await saw(client, proxies.own)).toEqual(expected);
  });
});
