/** Where a connection's path is reported besides ping: doctor, status, netcheck, the control plane, files for editors. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Workspace } from "coder-protocol/rest/workspaces";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("what is reported of a path", () => {
  let deployment: TestDeployment;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "coder-path-"));
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is judged by doctor: healthy when direct, with the cause when not", async () => {
    const well = await deployment.run(["doctor", "demo"]);
    expect(well.stdout).toContain("The connection is direct");
    expect(well.code).toBe(0);
    const ill = await deployment.run(["doctor", "demo", "--disable-direct-connections", "--output", "json"]);
    expect(ill.code).toBe(1);
    expect(JSON.parse(ill.stdout)).toMatchObject({ healthy: false, causes: [{ code: "direct-disabled" }] });
  });

  it("status shows every address of the workspace and why it is used or not", async () => {
    const status = await deployment.run(["status", "demo"]);
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/^The connection is direct, to /);
    expect(status.stdout).toMatch(/\n\S+ +in-use +\S+/);
    expect((await deployment.run(["status"])).stdout).toMatch(/^No connection is open on this machine\.\n/);
  });

  it("netcheck sends a packet through the relay, and prints JSON for editors", async () => {
    const text = await deployment.run(["netcheck", "--output", "table"]);
    expect(text.code).toBe(0);
    expect(text.stdout).toContain("Relayed connections will work.");
    const json = await deployment.run(["netcheck", "--output", "json"]);
    const { derp } = JSON.parse(json.stdout);
    expect(derp.regions["999"].node_reports[0]).toMatchObject({ can_exchange_messages: true, uses_websocket: false });
    expect(derp.netcheck).toMatchObject({ UDP: false, PreferredDERP: 999 });
  });

  it("is known to the control plane while it lasts, unless telemetry is switched off", async () => {
    const workspace = await (await deployment.api("GET", "/api/v2/users/me/workspace/demo")).json();
    const agent = (workspace as Workspace).latest_build.resources[0]!.agents![0]!.id;
    const paths = async (): Promise<string[]> => {
      const answer = await deployment.api("GET", `/api/v2/workspaceagents/${agent}/network`);
      return ((await answer.json()) as { clients: { path: string }[] }).clients.map(({ path }) => path).sort();
    };
    const quiet = deployment.spawn(["ssh", "--disable-network-telemetry", "demo", "--", "echo up; cat"], {});
    await once(quiet.stdout!, "data");
    // A later connection was reported, so the quiet one had enough time.
    const reported = deployment.spawn(["ssh", "demo", "--", "cat"], {});
    await expect.poll(paths, { timeout: 60_000 }).toEqual([expect.stringMatching(/^(direct|relayed)$/), "unknown"]);
    await ended(quiet);
    // There may also be the server's own connection, with which it asks the agent for ports.
    await expect
      .poll(async () => (await deployment.run(["show", "demo"])).stdout, { timeout: 60_000, interval: 500 })
      .toMatch(/\nmain +Coder Embedded Relay \(\d+ ms\) +[12] (direct|relayed)/);
    await ended(reported);
  });

  it("is written where editors look for it, and where this machine's connections are listed", async () => {
    const dir = join(folder, "info");
    const ssh = deployment.spawn(
      [...["ssh", "--network-info-dir", dir, "--network-info-interval", "1s"], ...["demo", "--", "cat"]],
      {},
    );
    await expect.poll(() => existsSync(join(dir, `${process.pid}.json`)), { timeout: 30_000 }).toBe(true);
    const info = JSON.parse(readFileSync(join(dir, `${process.pid}.json`), "utf8"));
    expect(info).toMatchObject({ preferred_derp: "Coder Embedded Relay", using_coder_connect: false });
    expect(Object.keys(info).sort()).toEqual([
      "derp_latency",
      "download_bytes_sec",
      "latency",
      "p2p",
      "preferred_derp",
      "upload_bytes_sec",
      "using_coder_connect",
    ]);
    const listed = join(deployment.environment()["CODER_CONFIG_DIR"]!, "connections");
    expect(readdirSync(listed).filter((name) => name.endsWith(".json"))).toHaveLength(1);
    const status = JSON.parse((await deployment.run(["status", "--output", "json"])).stdout);
    expect(status).toMatchObject([{ workspace: "demo", command: "ssh" }]);
    await ended(ssh);
    expect(readdirSync(listed)).toEqual([]);
  });
});

/** Ends the input of `ssh … cat`. */
async function ended(ssh: ChildProcess): Promise<void> {
  const over = once(ssh, "close");
  ssh.stdin!.end();
  expect((await over)[0]).toBe(0);
}
