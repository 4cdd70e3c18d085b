/** What can be reached outside the tunnel: nothing of the agent, and of a forward only the requested address. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { networkInterfaces } from "node:os";
import { Duplex } from "node:stream";
import { Client } from "ssh2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";
import { listeningSockets, udpSockets } from "./sockets.ts";

const LOOPBACK_V6 = "[00000000000000000000000000000001]";

describe.runIf(process.platform === "linux")("outside the tunnel", () => {
  let deployment: TestDeployment;
  let token: string;
  let agent: ChildProcess;
  let web: Server;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    token = await deployment.createWorkspace("demo");
    agent = deployment.startAgent(token);
    web = createServer((_request, response) => response.end("from the workspace")).listen(0, "127.0.0.1");
    await once(web, "listening");
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });
  afterAll(async () => {
    web?.close();
    await deployment?.close();
  });

  /** The host key that the agent presents to a client. */
  async function hostKey(): Promise<string> {
    const proxy = deployment.spawn(["ssh", "--stdio", "demo"], {});
    const sock = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => void proxy.stdin!.write(chunk, done),
    });
    proxy.stdout!.on("data", (chunk: Buffer) => void sock.push(chunk));
    const client = new Client();
    client.on("error", () => undefined); // the connection is refused after the key was seen
    const seen = new Promise<string>((resolve) => {
      client.connect({
        sock,
        username: "any",
        hostVerifier: (key: Buffer) => {
          resolve(key.toString("base64"));
          return false;
        },
      });
    });
    const key = await seen;
    client.destroy();
    proxy.kill("SIGTERM");
    return key;
  }

  it("security 15, 31: while its services are in use the agent listens on no interface, and answers on none", async () => {
    const session = deployment.spawn(["ssh", "demo", "--", "echo up; cat"], {});
    await once(session.stdout!, "data");
    const pid = agent.pid!;
    expect(listeningSockets(pid)).toEqual([]);
    // Shows that the search finds sockets: the server's port, and the tunnel's own UDP sockets.
    expect(listeningSockets(deployment.server!.pid!)).toContain(new URL(deployment.url).host);
    const udp = udpSockets(pid);
    expect(udp.length).toBeGreaterThan(0);
    const ports = new Set([1, 2, 3, 4, ...udp.map((text) => Number(text.split(":").at(-1)))]);
    for (const { address, family, scopeid } of Object.values(networkInterfaces()).flatMap((list) => list ?? [])) {
      const host = family === "IPv6" && scopeid !== 0 ? undefined : address;
      if (host === undefined) continue;
      for (const port of ports) expect([host, port, await connects(host, port)]).toEqual([host, port, false]);
    }
    session.stdin!.end();
    await once(session, "close");
  });

  it("security 31: the host key is the same after the agent was started again", async () => {
    const before = await hostKey();
    agent.kill("SIGTERM");
    await once(agent, "exit");
    agent = deployment.startAgent(token);
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    expect(await hostKey()).toBe(before);
  });

  it("security 15: a member who may not use the workspace reaches none of the agent's services", async () => {
    await deployment.addMember("member");
    const port = await freePort();
    for (const args of [
      ["ssh", "owner/demo", "--", "true"],
      ["speedtest", "owner/demo", "--time", "1s"],
      ["ping", "owner/demo", "-n", "1"],
      ["port-forward", "owner/demo", "--tcp", `${port}:4`],
    ]) {
      const done = await deployment.run(args, { user: "member" });
      expect([args[0], done.code, done.stderr]).toEqual([args[0], 1, expect.stringContaining("There is no workspace")]);
    }
    expect(await connects("127.0.0.1", port)).toBe(false);
  });

  it("security 15: a forward listens on loopback, or on the requested address, and on nothing else", async () => {
    const target = (web.address() as AddressInfo).port;
    const [plain, asked, wide] = [await freePort(), await freePort(), await freePort()];
    const forward = deployment.spawn(
      ["port-forward", "demo", "--tcp", `${plain}:${target},127.0.0.2:${asked}:${target},0.0.0.0:${wide}:${target}`],
      {},
    );
    let said = "";
    forward.stderr!.on("data", (chunk) => {
      said += String(chunk);
    });
    await expect.poll(() => said, { timeout: 30_000 }).toContain("Ready!");
    const sockets = listeningSockets(forward.pid!);
    expect(sockets).toEqual(expect.arrayContaining([`127.0.0.1:${plain}`, `127.0.0.2:${asked}`, `0.0.0.0:${wide}`]));
    // The only other sockets are those on the loopback address of the other family.
    expect(sockets.filter((socket) => socket !== `${LOOPBACK_V6}:${plain}`)).toHaveLength(3);
    for (const [host, port] of [
      ["127.0.0.1", plain],
      ["127.0.0.2", asked],
      ["127.0.0.3", wide],
    ]) {
      expect(await (await fetch(`http://${host}:${port}/`)).text()).toBe("from the workspace");
    }
    expect(await connects("127.0.0.2", plain)).toBe(false);
    expect(await connects("127.0.0.1", asked)).toBe(false);
    forward.kill("SIGTERM");
    await once(forward, "exit");
  });
});

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
