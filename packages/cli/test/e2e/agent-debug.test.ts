/** The debug pages of an agent's HTTP API, through a tunnel to a real agent. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { WorkspaceConnection } from "coder-client/connection/workspace-connection";
import { Deployment } from "coder-client/rest/deployment";
import { expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

it("the agent shows its log, network, manifest and metrics, and never its token", async () => {
  const deployment = await TestDeployment.start();
  try {
    const agentToken = await deployment.createWorkspace("demo");
    deployment.startAgent(agentToken);
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    const shown = JSON.parse((await deployment.run(["show", "demo", "--output", "json"])).stdout);
    const token = readFileSync(join(deployment.environment()["CODER_CONFIG_DIR"]!, "session"), "utf8").trim();
    await using connection = await WorkspaceConnection.open({
      deployment: new Deployment({ url: new URL(deployment.url), token }),
      agentId: shown.latest_build.resources[0].agents[0].id,
      timeoutMs: 20_000,
    });
    const ask = async (method: string, path: string, body = ""): Promise<{ status: number; text: string }> => {
      const stream = await connection.dial(4);
      stream.write(`${method} ${path} HTTP/1.1\r\nHost: agent\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      let answer = "";
      for await (const chunk of stream) answer += Buffer.from(chunk as Uint8Array).toString("utf8");
      expect(answer).not.toContain(agentToken);
      const [head, ...rest] = answer.split("\r\n\r\n");
      return { status: Number(head!.split(" ")[1]), text: rest.join("\r\n\r\n") };
    };
    expect(await ask("GET", "/debug/manifest")).toMatchObject({ status: 200 });
    expect(JSON.parse((await ask("GET", "/debug/manifest")).text)).toMatchObject({
      workspace_name: "demo",
      owner_name: "owner",
    });
    const network = JSON.parse((await ask("GET", "/debug/magicsock")).text);
    expect(network.relay.state).toBe("ready");
    expect(network.peers.length).toBeGreaterThan(0);
    expect((await ask("GET", "/debug/prometheus")).text).toContain('coder_agent_sessions{type="ssh"} 0\n');
    for (const line of (await ask("GET", "/debug/logs")).text.trimEnd().split("\n"))
      expect(JSON.parse(line)).toMatchObject({ level: expect.any(String), msg: expect.any(String) });
    const root = await ask("POST", "/api/v0/list-directory", '{"path":[],"relativity":"root"}');
    expect(JSON.parse(root.text).contents).toContainEqual({
      name: "etc",
      absolute_path_string: "/etc",
      is_dir: true,
    });
    expect((await ask("POST", "/api/v0/list-directory", "{")).status).toBe(400);
    expect((await ask("POST", "/api/v0/list-directory", " ".repeat(70_000))).status).toBe(413);
  } finally {
    await deployment.close();
  }
});
