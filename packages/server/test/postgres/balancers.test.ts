/** Several servers behind nginx and HAProxy with the files of deploy/cluster: how one answer affects later requests. */
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { addWorkspace, send } from "../helpers.ts";
import { BALANCERS, INSTALLED, startProgram } from "./balancers.ts";
import { startCluster } from "./cluster-servers.ts";

const REQUESTS = 8;

/** The status with which a host of the deployment answers. */
async function statusOf(url: string, host: string, path: string, token: string): Promise<number | undefined> {
  const request = get(new URL(path, url), { agent: false, headers: { Host: host, "Coder-Session-Token": token } });
  const [response] = (await once(request, "response")) as [IncomingMessage];
  response.resume();
  await once(response, "end");
  return response.statusCode;
}

test.for(BALANCERS)("an app that answers 503 leaves every server in use behind $program", async (balancer, context) => {
  context.skip(!INSTALLED.has(balancer.program), `needs ${balancer.program}`);
  await using cluster = await startCluster({
    count: 2,
    flags: { "wildcard-access-url": "*.coder.localhost" },
    balancer: (ports) => startProgram(balancer, ports),
  });
  const { token, url } = cluster;
  const api = () => statusOf(url, new URL(url).host, "/api/v2/users/me", token);
  // HAProxy takes a server into use only after its first checks.
  await expect.poll(api, { timeout: 30_000 }).toBe(200);
  const { id } = await addWorkspace(url, token, "dev");
  await send(url, "POST", `/api/v2/workspaces/${id}/builds`, { token, body: { transition: "stop" } });
  for (let i = 0; i < REQUESTS; i++) {
    expect(await statusOf(url, "8080--main--dev--ada.coder.localhost", "/", token)).toBe(503);
    expect(await api()).toBe(200);
  }
});
