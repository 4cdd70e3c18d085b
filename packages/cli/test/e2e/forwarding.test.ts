/** Ports and sockets forwarded beside a session, UDP, and the message when there is no path. */
import { type ChildProcess, execFile, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Coordination } from "coder-client/control/coordination";
import { TailnetNode } from "coder-client/node/tailnet-node";
import { fetchConnectionInfo } from "coder-client/rest/connection-info";
import { Deployment } from "coder-client/rest/deployment";
import { findWorkspace } from "coder-client/rest/workspaces";
import { agentAddress, randomClientAddress, randomNodeId } from "coder-protocol/addresses";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ip } from "wg-userspace/base/ip";
import { nodeRandom } from "wg-userspace/io/host/crypto-suite";
import { bindTunnelUdp } from "wg-userspace/io/sockets/udp-tunnel-socket";
import { freePort } from "../free-port.ts";
import { TestDeployment } from "./deployment.ts";

const hasCurl = spawnSync("sh", ["-c", "command -v curl"]).status === 0;

describe("forwarding through a deployment of real processes", () => {
  let deployment: TestDeployment;
  let agent: ChildProcess;
  let sockets: string;

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    agent = deployment.startAgent(await deployment.createWorkspace("demo"));
    sockets = join(deployment.folder, "sockets");
    mkdirSync(sockets, { mode: 0o700 });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterAll(async () => {
    await deployment?.close();
  });

  describe("ssh -R", () => {
    let local: Server;
    let localSocket: Server;
    let client: string;

    beforeAll(async () => {
      const greet = (name: string): Server =>
        createServer((socket) => {
          socket.on("data", (chunk) => socket.end(`${name} heard ${chunk}`));
        });
      local = greet("the laptop's port").listen(0, "127.0.0.1");
      localSocket = greet("the laptop's socket").listen(join(sockets, "local"));
      await Promise.all([once(local, "listening"), once(localSocket, "listening")]);
      client = deployment.write(
        "client.cjs",
        'const at = process.argv[2]; require("node:net").connect(/^[0-9]+$/.test(at) ? { port: Number(at), host: "127.0.0.1" } : { path: at }, function () { this.write("hello"); this.pipe(process.stdout); }).on("error", (error) => { console.error(error.code); process.exitCode = 3; });',
      );
    });

    afterAll(() => {
      local?.close();
      localSocket?.close();
    });

    it("leads a port and a socket of the workspace to this machine, several at once, and ends with the session", async () => {
      const port = await freePort();
      const remote = join(sockets, "remote");
      const { port: localPort } = local.address() as AddressInfo;
      const node = process.execPath;
      const done = await deployment.run([
        "ssh",
        "-R",
        `${port}:127.0.0.1:${localPort}`,
        "-R",
        `${remote}:${join(sockets, "local")}`,
        "demo",
        "--",
        `${node} ${client} ${port}; echo; ${node} ${client} ${remote}`,
      ]);
      expect([done.code, done.stdout], done.stderr).toEqual([
        0,
        "the laptop's port heard hello\nthe laptop's socket heard hello",
      ]);
      const after = await deployment.run(["ssh", "demo", "--", `${node} ${client} ${port}`]);
      expect([after.code, after.stderr]).toEqual([3, "ECONNREFUSED\n"]);
    });

    it("says which port the workspace chose, and takes an address before the port", async () => {
      const { port: localPort } = local.address() as AddressInfo;
      const child = deployment.spawn(["ssh", "-N", "-R", `127.0.0.1:0:127.0.0.1:${localPort}`, "demo"], {});
      const closed = once(child, "close");
      let said = "";
      let chosen: string | undefined;
      for await (const chunk of child.stderr!) {
        said += String(chunk);
        chosen = /listens on port (\d+) for 127\.0\.0\.1:0:/.exec(said)?.[1];
        if (chosen !== undefined) break;
      }
      expect(chosen, said).toBeDefined();
      // The workspace is this machine.
      const socket = connect(Number(chosen), "127.0.0.1");
      socket.write("hello");
      let heard = "";
      for await (const chunk of socket) heard += String(chunk);
      expect(heard).toBe("the laptop's port heard hello");
      child.kill("SIGTERM");
      await closed;
    });

    it("continues when there is no listener on this machine, and reports it", async () => {
      const [port, unbound] = [await freePort(), await freePort()];
      const done = await deployment.run([
        "ssh",
        "-R",
        `${port}:127.0.0.1:${unbound}`,
        "demo",
        "--",
        `${process.execPath} ${client} ${port}; echo still here`,
      ]);
      expect([done.code, done.stdout]).toEqual([0, "still here\n"]);
      expect(done.stderr).toContain(`cannot forward to ${port}:127.0.0.1:${unbound}`);
    });

    it("names the forward that the workspace refused", async () => {
      const taken = createServer().listen(0, "127.0.0.1");
      await once(taken, "listening");
      const { port } = taken.address() as AddressInfo;
      const done = await deployment.run(["ssh", "-R", `${port}:127.0.0.1:1`, "demo", "--", "true"]);
      taken.close();
      expect([done.code, done.stderr]).toEqual([
        1,
        expect.stringContaining(`The workspace refused to forward ${port}:127.0.0.1:1`),
      ]);
    });
  });

  describe("ssh -L, -D and -N", () => {
    let web: HttpServer;
    let webSocket: HttpServer;
    let forwarding: ChildProcess | undefined;

    beforeAll(async () => {
      const serve = (words: string): HttpServer => createHttpServer((_, response) => response.end(words));
      web = serve("the workspace's page").listen(0, "127.0.0.1");
      webSocket = serve("the workspace's socket").listen(join(sockets, "web"));
      await Promise.all([once(web, "listening"), once(webSocket, "listening")]);
    });

    afterAll(() => {
      forwarding?.kill("SIGKILL");
      web?.close();
      webSocket?.close();
    });

    it("lead ports of this machine to hosts and sockets of the workspace, without a shell", async () => {
      const [direct, socket, proxy] = [await freePort(), await freePort(), await freePort()];
      const { port } = web.address() as AddressInfo;
      forwarding = deployment.spawn(
        [
          ...["ssh", "-N", "-L", `${direct}:localhost:${port}`, "-L", `127.0.0.1:${socket}:${join(sockets, "web")}`],
          ...["-D", `${proxy}`, "demo"],
        ],
        {},
      );
      for (let tries = 0; tries < 400 && !(await isListening(proxy)); tries++) await sleep(20);
      const page = async (url: string): Promise<string> => (await fetch(url)).text();
      expect(await page(`http://127.0.0.1:${direct}/`)).toBe("the workspace's page");
      expect(await page(`http://[::1]:${direct}/`)).toBe("the workspace's page");
      expect(await page(`http://127.0.0.1:${socket}/`)).toBe("the workspace's socket");
      // Without curl there is no SOCKS client here; unit tests cover it.
      for (const kind of hasCurl ? ["--socks5-hostname", "--socks5", "--socks4", "--socks4a"] : []) {
        const url = `http://localhost:${port}/`;
        const said = await promisify(execFile)("curl", ["-sS", "-4", kind, `127.0.0.1:${proxy}`, url]);
        expect(said.stdout, kind).toBe("the workspace's page");
      }
      forwarding.kill("SIGINT");
      expect(await once(forwarding, "close")).toEqual([null, "SIGINT"]);
      expect(await isListening(direct)).toBe(false);
    });

    it("name addresses that cannot be bound, and options that conflict", async () => {
      const { port } = web.address() as AddressInfo;
      const taken = await deployment.run(["ssh", "-L", `${port}:localhost:80`, "demo", "--", "true"]);
      expect([taken.code, taken.stderr]).toEqual([1, expect.stringContaining("(ERR_ADDRESS_IN_USE)")]);
      const both = await deployment.run(["ssh", "-N", "demo", "--", "true"]);
      expect([both.code, both.stderr]).toEqual([2, expect.stringContaining("-N runs no command")]);
      const bad = await deployment.run(["ssh", "-L", "8080", "demo"]);
      expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining('-L "8080" is not')]);
    });
  });

  it("UDP to a port of the workspace reaches its program and back; a port without a program is refused", async () => {
    const program = createSocket("udp4", (payload, from) => {
      program.send(`echo:${payload}`, from.port, from.address);
    }).bind(0, "127.0.0.1");
    await once(program, "listening");
    const closed = createSocket("udp4").bind(0, "127.0.0.1");
    await once(closed, "listening");
    const closedPort = closed.address().port;
    closed.close();

    const token = (await deployment.run(["tokens", "create"])).stdout.trim();
    const control = new Deployment({ url: new URL(deployment.url), token });
    const workspace = await findWorkspace(control, { workspace: "demo" });
    const agentId = workspace.agents[0]!.id;
    const node = await TailnetNode.open({
      deployment: control,
      addresses: [randomClientAddress(nodeRandom)],
      nodeId: randomNodeId(nodeRandom),
      maxPeers: 4,
      isDestination: (id) => id === agentId,
    });
    const coordination = new Coordination({ deployment: control, agentId, node });
    try {
      node.setDerpMap((await fetchConnectionInfo(control)).derpMap);
      coordination.start();
      const heard = Promise.withResolvers<string>();
      const refused = Promise.withResolvers<number>();
      const socket = bindTunnelUdp(node.driver, 0, {
        onMessage: (payload) => heard.resolve(Buffer.from(payload).toString()),
        onUnreachable: (remote) => refused.resolve(remote.port),
      });
      while (!node.isProgrammed(agentId)) await sleep(20);
      const address = ip(agentAddress(agentId));
      socket.send(Buffer.from("over the tunnel"), { address, port: program.address().port });
      expect(await heard.promise).toBe("echo:over the tunnel");
      socket.send(Buffer.from("hello"), { address, port: closedPort });
      expect(await refused.promise).toBe(closedPort);
    } finally {
      await coordination.close();
      await node.close();
      control.dialer.close();
      program.close();
    }
  });

  describe("--connect-timeout names the stage", () => {
    it("when the control plane accepts the connection and does not answer", async () => {
      const silent = createServer().listen(0, "127.0.0.1");
      await once(silent, "listening");
      const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
      const done = await deployment.run(["--url", url, "ssh", "--connect-timeout", "1s", "demo"]);
      silent.close();
      expect([done.code, done.stderr]).toEqual([
        1,
        expect.stringContaining("could not be reached within 1 s: the control plane did not answer"),
      ]);
    });

    // Last, because it ends the agent of the tests above.
    it("when the agent went away", async () => {
      agent.kill("SIGKILL");
      await once(agent, "exit");
      const done = await deployment.run(["ssh", "--connect-timeout", "2s", "demo", "--", "true"]);
      expect(done.code).toBe(1);
      expect(done.stderr).toMatch(/could not be reached within 2 s: .*agent/);
      expect(done.stderr).toContain("(ERR_AGENT_UNREACHABLE)");
    });
  });
});

async function isListening(port: number): Promise<boolean> {
  const socket = connect({ port, host: "127.0.0.1" });
  const open = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  return open;
}
