/** For operators: one search finds a session in all logs, and the ports of a workspace are listed. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

const ID = "0123456789abcdef0123456789abcdef";

describe("a session", () => {
  let deployment: TestDeployment;
  let agentLog = "";
  let serverLog = "";

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.server!.stderr!.on("data", (chunk) => {
      serverLog += String(chunk);
    });
    const agent = deployment.startAgent(await deployment.createWorkspace("demo"));
    for (const stream of [agent.stdout!, agent.stderr!]) {
      stream.on("data", (chunk) => {
        agentLog += String(chunk);
      });
    }
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  it("is found by its id in the logs of client, server and agent", async () => {
    const logs = join(deployment.folder, "logs");
    const environment = { CODER_TRACE_SESSION_ID: ID };
    const done = await deployment.run(["ssh", "--log-dir", logs, "demo", "--", "true"], { environment });
    expect([done.code, done.stderr]).toEqual([0, ""]);
    const clientLog = readdirSync(logs).map((name) => readFileSync(join(logs, name), "utf8"));
    expect(clientLog.join("")).toContain(ID);
    await until(() => agentLog.includes(ID) && /client disconnected.*/.test(serverLog));
    const ended = () =>
      serverLog.split("\n").find((line) => line.includes(ID) && line.includes("disconnected from an agent"));
    await until(() => ended() !== undefined);
    expect(ended()).toContain("normal exit");
    expect(ended()).toMatch(/holder\W+user [0-9a-f-]{36}/);
    const lines = serverLog.split("\n").filter((line) => line.includes(ID));
    expect(lines.some((line) => line.includes("coordinate"))).toBe(true);
    expect(lines.some((line) => line.includes("/derp"))).toBe(true);
    expect(lines.some((line) => line.includes("normal exit"))).toBe(true);
  });

  it("reports an invalid id", async () => {
    const environment = { CODER_TRACE_SESSION_ID: "my-editor" };
    const done = await deployment.run(["ssh", "demo", "--", "true"], { environment });
    expect(done.code).toBe(0);
    expect(done.stderr).toContain("CODER_TRACE_SESSION_ID");
    expect(serverLog).not.toContain("my-editor");
  });

  it("shows the ports that programs of the workspace listen on", async () => {
    const program = deployment.spawnProgram(
      "const s = require('net').createServer().listen(0, '127.0.0.1', () => console.log(s.address().port))",
    );
    const [port] = await new Promise<string[]>((resolve) =>
      program.stdout!.once("data", (chunk) => resolve([String(chunk).trim()])),
    );
    const answer = await deployment.run(["show", "demo"]);
    expect(answer.code).toBe(0);
    expect(answer.stdout).toContain(port);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}
