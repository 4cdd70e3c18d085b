/** One dialer for everything: REST, control connection and relay go through the configured proxy. */
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "./deployment.ts";

describe("an HTTP proxy with a password between client and deployment", () => {
  let deployment: TestDeployment;
  let proxy: Server;
  let proxyPort: number;
  let tunnels = 0;
  let refused = 0;

  beforeAll(async () => {
    const wanted = `Basic ${Buffer.from("user:p@ss").toString("base64")}`;
    proxy = createServer((_request, response) => response.writeHead(405).end());
    proxy.on("connect", (request, client, head) => {
      if (request.headers["proxy-authorization"] !== wanted) {
        refused++;
        client.on("error", () => undefined); // a command that has its answer may have ended
        client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
      }
      tunnels++;
      const [host, port] = request.url!.split(":");
      const server = connect(Number(port), host, () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n");
        server.write(head);
        server.pipe(client).pipe(server);
      });
      server.on("error", () => client.destroy());
      client.on("error", () => server.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    proxyPort = (proxy.address() as AddressInfo).port;
    deployment = await TestDeployment.start();
    deployment.startAgent(await deployment.createWorkspace("demo"));
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
    proxy?.closeAllConnections();
    proxy?.close();
  });

  it("carries REST, the control connection and the relay", async () => {
    tunnels = 0;
    const done = await deployment.run(["ssh", "demo", "--", "echo through the proxy"], {
      environment: { HTTP_PROXY: `http://user:p%40ss@127.0.0.1:${proxyPort}` },
    });
    expect(done.stdout).toBe("through the proxy\n");
    // REST and the control WebSocket share a connection; the relay has another.
    expect(tunnels).toBeGreaterThanOrEqual(2);
  });

  it("is bypassed for hosts in NO_PROXY", async () => {
    tunnels = 0;
    const done = await deployment.run(["ssh", "demo", "--", "echo straight"], {
      environment: { HTTP_PROXY: `http://user:p%40ss@127.0.0.1:${proxyPort}`, NO_PROXY: "127.0.0.1" },
    });
    expect([done.stdout, tunnels]).toEqual(["straight\n", 0]);
  });

  it("that refuses us is named, with a remedy", async () => {
    const done = await deployment.run(["ssh", "demo", "--", "true"], {
      environment: { HTTP_PROXY: `http://user:wrong@127.0.0.1:${proxyPort}` },
    });
    expect(done.code).toBe(1);
    expect(refused).toBeGreaterThan(0);
    expect(done.stderr).toContain(`Proxy 127.0.0.1:${proxyPort} refused`);
    expect(done.stderr).toContain("407");
    expect(done.stderr).toContain("(ERR_PROXY_REFUSED)");
  });
});
