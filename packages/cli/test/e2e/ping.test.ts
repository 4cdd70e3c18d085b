/**
 * The path of a connection, and what ping reports about it, between real processes on one machine, which reach each other
 * directly.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("the path of a connection", () => {
  let deployment: TestDeployment;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    await deployment.createWorkspace("empty");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
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
    const report = JSON.parse(ping.stdout);
    expect(report).toMatchObject({ workspace: "demo", verdict: "direct", summary: { total: 2, successful: 2 } });
    expect(report.pings.at(-1)).toMatchObject({ ok: true, path: { kind: "direct" } });
    expect(report.time_to_direct_ms).toBeGreaterThan(0);
    expect(report.peer.candidates.some((candidate: { state: string }) => candidate.state === "in-use")).toBe(true);
    expect(report.causes.map((cause: { code: string }) => cause.code)).not.toContain("agent-report-missing");
    expect(ping.stderr).toBe("");
    const lines = await deployment.run(["ping", "demo", "-n", "2", "--output", "jsonl"]);
    const documents = lines.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(documents.map(({ type }) => type)).toEqual(["ping", "ping", "summary"]);
    expect(documents[0]).toMatchObject({ ok: true, rtt_ms: expect.any(Number) });
    expect(documents[2]).toMatchObject({ verdict: "direct", summary: { successful: 2 } });
    const { pings: _, ...same } = report;
    expect(Object.keys(documents[2])).toEqual(expect.arrayContaining(Object.keys(same)));
  });

  it("a workspace without an agent is not pinged, and the reason is given", async () => {
    const ping = await deployment.run(["ping", "empty", "-n", "1", "--connect-timeout", "2s"]);
    expect(ping.code).toBe(1);
    expect(ping.stdout).toBe("");
    expect(ping.stderr).toContain("empty");
  });
});
