/** What the VS Code extension does on a machine without the command, step by step. */
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { platformOfNode } from "coder-server";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const bundle = join(import.meta.dirname, "../../dist/coder.cjs");
const platform = platformOfNode(process.platform, process.arch)!;
const NAME = `coder-${platform.system}-${platform.architecture}`;
let deployment: TestDeployment;

beforeAll(async () => {
  deployment = await TestDeployment.start(async (port, folder) => {
    const binaries = join(folder, "binaries");
    mkdirSync(binaries);
    // Stands in for an executable: a script that runs this build.
    writeFileSync(join(binaries, NAME), `#!/bin/sh\nexec '${process.execPath}' '${bundle}' "$@"\n`);
    return { url: `http://127.0.0.1:${port}`, environment: { CODER_BINARIES_DIR: binaries } };
  });
  deployment.startAgent(await deployment.createWorkspace("demo"));
});
afterAll(() => deployment.close());

it("fetches the command by its tag, keeps it while it is current, asks for its version, and connects through it", async () => {
  const { version } = (await (await fetch(`${deployment.url}/api/v2/buildinfo`)).json()) as { version: string };
  const path = join(deployment.folder, NAME);
  const download = (headers: Record<string, string> = {}) =>
    fetch(`${deployment.url}/bin/${NAME}`, {
      headers: { "Accept-Encoding": "gzip", ...headers },
    });
  const first = await download();
  expect(first.status).toBe(200);
  writeFileSync(path, Buffer.from(await first.arrayBuffer()));
  chmodSync(path, 0o755);
  const sha1 = createHash("sha1").update(readFileSync(path)).digest("hex");
  expect(first.headers.get("etag")).toBe(`"${sha1}"`);
  expect(first.headers.get("x-original-content-length")).toBe(String(readFileSync(path).length));
  expect((await download({ "If-None-Match": `"${sha1}"` })).status).toBe(304);
  // There is no signature; on this status the extension asks the user.
  expect((await fetch(`${deployment.url}/bin/${NAME}.asc`)).status).toBe(404);

  const env = deployment.environment();
  const answer = await promisify(execFile)(path, ["version", "--output", "json"], { env });
  expect((JSON.parse(answer.stdout) as { version: string }).version).toBe(version);

  const host = "coder-vscode.127.0.0.1--owner--demo.main";
  const prefix = ["--ssh-host-prefix", "coder-vscode.127.0.0.1--"];
  const words = ["ssh", "--stdio", "--usage-app=vscode", "--disable-autostart", ...prefix, host];
  const ssh = spawn(path, ["--global-config", env["CODER_CONFIG_DIR"]!, ...words], { env });
  let errors = "";
  ssh.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const [greeting] = (await Promise.race([
    once(ssh.stdout, "data"),
    once(ssh, "close").then(() => [Buffer.from(`closed: ${errors}`)]),
  ])) as [Buffer];
  expect(greeting.toString()).toMatch(/^SSH-2\.0-/);
  const closed = once(ssh, "close");
  ssh.stdin.end();
  ssh.kill("SIGTERM");
  await closed;
});

it("the printed line makes a machine the workspace", async () => {
  const made = await deployment.run(["external-workspaces", "create", "box"]);
  expect(made.stdout).toContain('Run this line on the machine that becomes workspace "box"');
  const line = made.stdout.split("\n").find((text) => text.includes("/api/v2/init-script/"))!;
  expect(line).toMatch(/^ {5}\{ if command -v curl/);
  expect(made.stdout).toContain("coder ssh box");
});

it("a command that is not the deployment's refuses to replace itself when it cannot, and shows how to get it", async () => {
  const done = await deployment.run(["update-cli"]);
  expect(done.code).toBe(1);
  expect(done.stderr).toContain("it runs from a checkout");
  expect(done.stderr).toContain(`curl -fsSL ${deployment.url}/install.sh | sh`);
});
