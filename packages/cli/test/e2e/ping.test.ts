/** The path of a connection, and the command's report of it: real processes on one machine, which reach each other directly. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("the path of a connection", () => {
  let deployment: TestDeployment;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "coder-path-"));
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    await deployment.createWorkspace("empty");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("is direct between processes of one machine, and ping reports it", async () => {
    const ping = await deployment.run(["ping", "demo", "-n", "3"]);
    expect(ping.code).toBe(0);
    const lines = ping.stdout.split("\n");
    expect(lines.filter((line) => line.startsWith("pong from demo "))).toHaveLength(3);
    expect(lines[2]).toMatch(/^pong from demo p2p via \S+:\d+ in \d+ms$/);
    expect(ping.stdout).toMatch(/WORKSPACE +TOTAL +SUCCESSFUL +MIN +AVG +MAX +VARIANCE\ndemo +3 +3 +\S/);
    expect(ping.stderr).toContain("✔ preferred DERP region: 999 (Coder Embedded Relay)");
    expect(ping.stderr).toContain("✔ You are connected directly (p2p)");
  });

  it("is relayed on this client's request, with the cause named", async () => {
    const ping = await deployment.run(["ping", "demo", "-n", "2", "--disable-direct-connections"]);
    expect(ping.code).toBe(0);
    expect(ping.stdout).toContain("pong from demo proxied via DERP(Coder Embedded Relay) in ");
    expect(ping.stdout).not.toContain("p2p");
    expect(ping.stderr).toContain("Direct connections are disabled for this command.");
  });

  it("is reported as JSON, the causes of both sides included", async () => {
    const ping = await deployment.run(["ping", "demo", "-n", "2", "--output", "json"]);
    const told = JSON.parse(ping.stdout);
    expect(told).toMatchObject({ workspace: "demo", verdict: "direct", summary: { total: 2, successful: 2 } });
    expect(told.pings.at(-1)).toMatchObject({ ok: true, path: { kind: "direct" } });
    expect(told.time_to_direct_ms).toBeGreaterThan(0);
    expect(told.peer.candidates.some((candidate: { state: string }) => candidate.state === "in-use")).toBe(true);
    expect(told.causes.map((cause: { code: string }) => cause.code)).not.toContain("agent-report-missing");
    expect(ping.stderr).toBe("");
    const lines = await deployment.run(["ping", "demo", "-n", "2", "--output", "jsonl"]);
    const documents = lines.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(documents.map(({ type }) => type)).toEqual(["ping", "ping", "summary"]);
    expect(documents[0]).toMatchObject({ ok: true, rtt_ms: expect.any(Number) });
    expect(documents[2]).toMatchObject({ verdict: "direct", summary: { successful: 2 } });
    const { pings: _, ...same } = told;
    expect(Object.keys(documents[2])).toEqual(expect.arrayContaining(Object.keys(same)));
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

  it("a workspace without an agent is not pinged, and the reason is given", async () => {
    const ping = await deployment.run(["ping", "empty", "-n", "1", "--connect-timeout", "2s"]);
    expect(ping.code).toBe(1);
    expect(ping.stdout).toBe("");
    expect(ping.stderr).toContain("empty");
  });

  it("is known to the control plane while it lasts, unless telemetry is switched off", async () => {
    const told = deployment.spawn(["ssh", "demo", "--", "cat"], {});
    // Beside it there may be the server's own connection, by which it asks the agent for ports.
    await expect
      .poll(async () => (await deployment.run(["show", "demo"])).stdout, { timeout: 60_000, interval: 500 })
      .toMatch(/\nmain +Coder Embedded Relay \(\d+ ms\) +[12] (direct|relayed)/);
    await ended(told);
    const quiet = deployment.spawn(["ssh", "--disable-network-telemetry", "demo", "--", "echo up; cat"], {});
    await once(quiet.stdout!, "data");
    const workspace = JSON.parse((await deployment.run(["show", "demo", "--output", "json"])).stdout);
    const agent = workspace.latest_build.resources[0].agents[0].id;
    const token = readFileSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "session"), "utf8").trim();
    const paths = async (): Promise<string[]> => {
      const answer = await fetch(`${deployment.url}/api/v2/workspaceagents/${agent}/network`, {
        headers: { "Coder-Session-Token": token },
      });
      return ((await answer.json()) as { clients: { path: string }[] }).clients.map(({ path }) => path).sort();
    };
    // A later one was reported: the quiet one had its time.
    const later = deployment.spawn(["ssh", "demo", "--", "cat"], {});
    await expect.poll(paths, { timeout: 60_000 }).toEqual([expect.stringMatching(/^(direct|relayed)$/), "unknown"]);
    await ended(later);
    await ended(quiet);
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
