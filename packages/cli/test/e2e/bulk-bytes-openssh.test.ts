/** Much data in both directions through OpenSSH's programs, compared byte by byte. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bulkData, bulkHash, hashOf } from "./bulk-data.ts";
import { TestDeployment } from "./deployment.ts";

const coder = join(import.meta.dirname, "../../dist/coder.cjs");
const missing = ["ssh", "scp", "sftp"].filter(
  (program) => !(process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, program))),
);

describe.skipIf(missing.length > 0)("bulk data through OpenSSH's programs", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  }, 120_000);

  afterAll(async () => {
    await deployment?.close();
  }, 30_000);

  const run = async (program: string, args: readonly string[], input = ""): Promise<void> => {
    const proxy = `${process.execPath} ${coder} ssh --stdio demo`;
    const options = [`ProxyCommand=${proxy}`, "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"];
    const child = spawn(program, ["-F", "none", "-q", ...options.flatMap((option) => ["-o", option]), ...args], {
      env: deployment.environment("owner", {}),
      stdio: ["pipe", "ignore", "pipe"],
    });
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => {
      said += String(chunk);
    });
    child.stdin!.end(input);
    const [code] = (await once(child, "close")) as [number | null];
    expect([code, said]).toEqual([0, ""]);
  };

  it.each(["aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"])("scp, %s", async (cipher) => {
    const [near, far, back] = ["near", "far", "back"].map((name) => join(deployment.folder, `${name}-${cipher}`));
    writeFileSync(near!, bulkData);
    await run("scp", ["-c", cipher, near!, `demo:${far}`]);
    await run("scp", ["-c", cipher, `demo:${far}`, back!]);
    expect(hashOf(readFileSync(back!))).toBe(bulkHash);
  });

  it("sftp", async () => {
    const [near, far, back] = ["near", "far", "back"].map((name) => join(deployment.folder, `sftp-${name}`));
    writeFileSync(near!, bulkData);
    await run("sftp", ["-b", "-", "demo"], `put ${near} ${far}\nget ${far} ${back}\n`);
    expect(hashOf(readFileSync(back!))).toBe(bulkHash);
  });
});
