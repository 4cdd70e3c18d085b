/** The library for web pages, run in Node, which has the same WebSocket, fetch and streams; another tier uses a real browser. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createHttpServer, type Server } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { type BrowserWorkspace, connectWorkspace } from "coder-client/browser/workspace";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const PAGE = randomBytes(2 << 20);

describe("the library of web pages", () => {
  let deployment: TestDeployment;
  let token: string;
  let workspace: BrowserWorkspace;
  let web: Server;
  let port: number;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    await deployment.createWorkspace("empty");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    token = (await deployment.run(["tokens", "create"])).stdout.trim();
    web = createHttpServer((request, response) => {
      if (request.url === "/echo") request.pipe(response.writeHead(201, { "X-Method": request.method }));
      else response.end(PAGE);
    }).listen(0, "127.0.0.1");
    await once(web, "listening");
    port = (web.address() as AddressInfo).port;
    workspace = await connectWorkspace({ url: new URL(deployment.url), token, workspace: "demo" });
  });

  afterAll(async () => {
    await workspace?.close();
    web?.close();
    await deployment?.close();
  });

  it("fetches from a program of the workspace, several at once", async () => {
    const pages = await Promise.all(
      [1, 2, 3].map(async (n) => (await workspace.fetch(port, `/page?${n}`)).arrayBuffer()),
    );
    for (const page of pages) expect(Buffer.from(page).equals(PAGE)).toBe(true);
  });

  it("sends a body and reads the answer's head", async () => {
    const body = randomBytes(300_000);
    const response = await workspace.fetch(port, "/echo", { method: "PUT", body });
    expect([response.status, response.headers.get("x-method")]).toEqual([201, "PUT"]);
    expect(Buffer.from(await response.arrayBuffer()).equals(body)).toBe(true);
  });

  it("carries streams both ways, each ending on its own", async () => {
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    const stream = await workspace.dial((echo.address() as AddressInfo).port);
    const data = randomBytes(3 << 20);
    const written = new Blob([data]).stream().pipeTo(stream.writable);
    const back = Buffer.from(await new Response(stream.readable).arrayBuffer());
    await written;
    echo.close();
    expect(back.equals(data)).toBe(true);
  });

  it("reports a missing listener, and stops on abort", async () => {
    const unbound = await freePort();
    await expect(workspace.fetch(unbound, "/")).rejects.toMatchObject({ code: "ERR_CONNECTION_REFUSED" });
    const reason = new Error("enough");
    await expect(workspace.dial(port, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it("names what keeps it from connecting", async () => {
    const url = new URL(deployment.url);
    await expect(connectWorkspace({ url, token, workspace: "no-such" })).rejects.toMatchObject({
      code: "ERR_NOT_FOUND",
    });
    await expect(connectWorkspace({ url, token: "wrong", workspace: "demo" })).rejects.toMatchObject({
      code: "ERR_UNAUTHORIZED",
    });
    await expect(connectWorkspace({ url, token, workspace: "empty", timeoutMs: 1_000 })).rejects.toMatchObject({
      code: "ERR_AGENT_UNREACHABLE",
      detail: 'its agent "main" has never connected',
    });
    const closed = new URL(`http://127.0.0.1:${await freePort()}`);
    await expect(connectWorkspace({ url: closed, token, workspace: "demo" })).rejects.toMatchObject({
      code: "ERR_NETWORK_UNREACHABLE",
    });
  });

  it("ends rather than reach another key than the one it is tied to", async () => {
    const secret = await deployment.createWorkspace("held");
    const agent = deployment.startAgent(secret);
    expect((await deployment.run(["ssh", "held", "--", "true"])).code).toBe(0);
    const held = await connectWorkspace({ url: new URL(deployment.url), token, workspace: "held" });
    const free = await connectWorkspace({ url: new URL(deployment.url), token, workspace: "held" });
    try {
      expect(held.hold()).toEqual(held.ends.agent);
      expect((await held.fetch(port, "/page")).status).toBe(200);
      const stream = await held.dial(port);
      agent.kill("SIGKILL");
      await once(agent, "close");
      deployment.startAgent(secret);
      await expect(stream.readable.getReader().read()).rejects.toMatchObject({ code: expect.any(String) });
      expect((await deployment.run(["ssh", "held", "--", "true"])).code).toBe(0);
      expect((await free.fetch(port, "/page")).status).toBe(200);
      await expect(held.dial(port)).rejects.toMatchObject({ code: "ERR_CLOSED" });
    } finally {
      await Promise.all([held.close(), free.close()]);
    }
  });
});
