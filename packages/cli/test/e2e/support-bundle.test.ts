/** coder support bundle: its content, the absence of secrets, and that a failing part does not affect the rest. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { strFromU8, unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("the support bundle", () => {
  let deployment: TestDeployment;
  let agentToken: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    agentToken = await deployment.createWorkspace("demo");
    deployment.startAgent(agentToken);
    await deployment.createWorkspace("empty");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  async function bundle(...args: string[]): Promise<{ files: Record<string, string>; stderr: string }> {
    const file = join(deployment.folder, `bundle-${args.join("-").replace(/\W/g, "_")}.zip`);
    const done = await deployment.run(["support", "bundle", "--yes", "--output-file", file, ...args]);
    expect([done.code, done.stdout], done.stderr).toEqual([0, ""]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const files = Object.fromEntries(
      Object.entries(unzipSync(readFileSync(file))).map(([name, bytes]) => [name, strFromU8(bytes)]),
    );
    return { files, stderr: done.stderr };
  }

  it("has everything available, a summary first, and no secret", async () => {
    const { files, stderr } = await bundle("demo");
    const names = Object.keys(files);
    expect(names[0]).toBe("summary.txt");
    for (const name of [
      "client/facts.json",
      "client/interfaces.json",
      "client/log.txt",
      "deployment/buildinfo.json",
      "deployment/health.json",
      "deployment/replicas.json",
      "deployment/cluster.json",
      "network/coordinator.html",
      "network/tailnet.html",
      "network/netcheck.json",
      "network/netcheck.txt",
      "workspace/workspace.json",
      "workspace/build-log.json",
      "agent/main/record.json",
      "agent/main/startup-log.json",
      "agent/pings.json",
      "agent/path.json",
      "agent/logs.txt",
      "agent/magicsock.html",
      "agent/manifest.json",
      "agent/metrics.txt",
    ])
      expect(names).toContain(name);
    expect(names.filter((name) => name.endsWith(".error.txt"))).toEqual([]);
    expect(JSON.parse(files["agent/pings.json"]!)).toHaveLength(5);
    expect(JSON.parse(files["agent/path.json"]!).path.kind).toBe("direct");
    expect(files["agent/logs.txt"]).toContain("connected to the control plane");
    expect(stderr).toContain("Support bundle of coder");
    expect(stderr).toMatch(/Wrote .*\.zip\n$/);
    const session = readFileSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "session"), "utf8").trim();
    const everything = Object.values(files).join("\n");
    for (const secret of [session, agentToken, session.split("-")[1]!]) expect(everything).not.toContain(secret);
  });

  it("reports problems, and continues without unavailable parts", async () => {
    await deployment.addMember("member");
    const { files } = await bundle("empty");
    expect(files["summary.txt"]).toContain("What looks wrong:");
    expect(files["summary.txt"]).toContain('Agent "main" is connecting.');
    expect(files["agent/connect.txt.error.txt"]).toContain("could not be reached");
    expect(Object.keys(files)).toContain("network/netcheck.json");
    const file = join(deployment.folder, "member.zip");
    const asMember = await deployment.run(["support", "bundle", "-y", "-O", file], { user: "member" });
    expect(asMember.code).toBe(0);
    expect(asMember.stderr).toContain("network/coordinator.html: not there");
  });

  it("asks for confirmation before it collects", async () => {
    const file = join(deployment.folder, "asked.zip");
    const done = await deployment.run(["support", "bundle", "-O", file]);
    expect([done.code, existsSync(file)]).toEqual([1, false]);
    expect(done.stderr).toContain("answer with --yes");
  });
});
