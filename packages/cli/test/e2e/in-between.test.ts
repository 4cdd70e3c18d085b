/** Intermediaries between commands and deployment: a proxy that carries no WebSockets, and a load balancer during a rollout. */
import { createServer, type Server, request as sendRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("a reverse proxy", () => {
  let deployment: TestDeployment;
  let proxy: Server;
  /** Number of requests, of any kind, that the proxy still answers with its own page. */
  let pages = 0;

  beforeAll(async () => {
    deployment = await TestDeployment.start(async (port) => {
      // Without a listener for upgrades they arrive as plain requests, whose Upgrade header is not passed on.
      proxy = createServer((request, response) => {
        // An agent that waits behind the proxy is not affected.
        if (pages > 0 && !request.url!.startsWith("/api/v2/workspaceagents/me/")) {
          pages--;
          response.writeHead(404, { "Content-Type": "text/html", Server: "balancer" }).end("<title>no backend</title>");
          return;
        }
        const { method, url, headers } = request;
        const { upgrade: _upgrade, connection: _connection, ...passed } = headers;
        const onward = sendRequest({ host: "127.0.0.1", port, method, path: url, headers: passed }, (answer) => {
          response.writeHead(answer.statusCode!, answer.rawHeaders);
          answer.pipe(response);
        });
        onward.on("error", () => response.destroy());
        request.pipe(onward);
      });
      await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
      return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    });
    deployment.startAgent(await deployment.createWorkspace("demo"), { CODER_AGENT_URL: deployment.directUrl });
  });

  afterAll(async () => {
    await deployment?.close();
    proxy?.closeAllConnections();
    proxy?.close();
  });

  it.each([
    ["ssh", "demo", "--", "true"],
    ["ping", "demo"],
    ["doctor", "demo"],
  ])("that removes the Upgrade header is named by %s", async (...args) => {
    const done = await deployment.run(args.filter((word) => word !== undefined));
    expect(done.code).not.toBe(0);
    expect(done.stderr).toContain('something on the way removes the "Upgrade" header');
    expect(done.stderr).toContain("(ERR_UPGRADE_STRIPPED)");
  });

  it("that removes the Upgrade header is named by the agent, which keeps retrying", async () => {
    const agent = deployment.startAgent(await deployment.createWorkspace("behind"));
    let log = "";
    await new Promise<void>((resolve) =>
      agent.stderr!.on("data", (chunk: Buffer) => {
        log += chunk.toString("utf8");
        if (log.includes("trying again")) resolve();
      }),
    );
    expect(log).toContain('removes the \\"Upgrade\\" header');
    expect(agent.exitCode).toBeNull();
  });

  it("that has no backend for a moment is retried, and reported once", async () => {
    pages = 2;
    const done = await deployment.run(["list"]);
    expect(done.code, done.stderr).toBe(0);
    expect(done.stdout).toContain("demo");
    expect(done.stderr.match(/404 Not Found from "balancer", with a page "no backend"/g)).toHaveLength(1);
  });

  it("that has no backend is not mistaken for an answer about the workspace or the token", async () => {
    pages = Number.POSITIVE_INFINITY;
    const done = await deployment.run(["show", "demo"]);
    pages = 0;
    expect(done.code).toBe(1);
    expect(done.stderr).toContain("(ERR_NOT_A_CODER_SERVER)");
    expect(done.stderr).not.toContain("There is no workspace");
  });
});
