/** What travels beside the session: the SSH agent, ports and sockets of this machine, UDP; and how a missing path is named. */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
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
import { freePort, TestDeployment } from "./deployment.ts";

const hasSshAgent = ["ssh-agent", "ssh-add", "ssh-keygen"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);

const hasCurl = spawnSync("sh", ["-c", "command -v curl"]).status === 0;
const hasXauth = spawnSync("sh", ["-c", "command -v xauth"]).status === 0;
const hasGpg = ["gpg", "gpgconf", "gpg-agent"].every(
  (program) => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0,
);

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

  describe.runIf(hasSshAgent)("ssh -A (needs ssh-agent, ssh-add and ssh-keygen)", () => {
    let sshAgent: ChildProcess;
    let socket: string;
    let fingerprint: string;

    beforeAll(async () => {
      socket = join(sockets, "agent");
      sshAgent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
      for (let tries = 0; !existsSync(socket) && tries < 200; tries++) await sleep(20);
      const key = join(deployment.folder, "key");
      execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "a key of the laptop", "-f", key]);
      execFileSync("ssh-add", ["-q", key], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: "ignore" });
      fingerprint = execFileSync("ssh-keygen", ["-l", "-f", `${key}.pub`], { encoding: "utf8" }).split(" ")[1]!;
    });

    afterAll(() => {
      sshAgent?.kill("SIGTERM");
    });

    it("lists the laptop's key in the workspace, with the agent of SSH_AUTH_SOCK or of --identity-agent", async () => {
      const environment = { SSH_AUTH_SOCK: socket };
      const done = await deployment.run(["ssh", "-A", "demo", "--", "ssh-add", "-l"], { environment });
      expect([done.code, done.stdout], done.stderr).toEqual([0, expect.stringContaining(fingerprint)]);
      expect(done.stdout).toContain("a key of the laptop");
      const named = await deployment.run(["ssh", "-A", "--identity-agent", socket, "demo", "--", "ssh-add", "-l"]);
      expect(named.stdout).toBe(done.stdout);
    });

    it("signs in the workspace with a key that stays on the laptop, and leaves no socket behind", async () => {
      const environment = { SSH_AUTH_SOCK: socket };
      const script =
        'echo "$SSH_AUTH_SOCK"; ssh-add -L > signer.pub; echo text > file; ssh-keygen -q -Y sign -f signer.pub -n test file && cat file.sig';
      const done = await deployment.run(["ssh", "-A", "demo", "--", script], { environment });
      expect(done.stdout, done.stderr).toContain("BEGIN SSH SIGNATURE");
      const forwarded = done.stdout.split("\n")[0]!;
      expect(forwarded).not.toBe(socket);
      for (let tries = 0; existsSync(forwarded) && tries < 200; tries++) await sleep(20);
      expect(existsSync(forwarded)).toBe(false);
    });

    it("forwards nothing without -A", async () => {
      const done = await deployment.run(["ssh", "demo", "--", 'echo "[$SSH_AUTH_SOCK]"'], {
        environment: { SSH_AUTH_SOCK: socket },
      });
      expect(done.stdout).toBe("[]\n");
    });
  });

  it("ssh -A without an agent says what to start", async () => {
    const done = await deployment.run(["ssh", "-A", "demo", "--", "true"]);
    expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_NO_SSH_AGENT)")]);
    expect(done.stderr).toContain("ssh-agent");
  });

  describe.runIf(hasGpg)("ssh -G (needs gpg, gpgconf and gpg-agent)", () => {
    let home: string;
    let workspaceHome: string;

    beforeAll(async () => {
      home = join(deployment.folder, "gpg");
      workspaceHome = join(deployment.folder, "wgpg");
      for (const folder of [home, workspaceHome]) mkdirSync(folder, { mode: 0o700 });
      const gpg = (...args: string[]): string =>
        execFileSync("gpg", ["--batch", ...args], {
          env: { ...process.env, GNUPGHOME: home },
          encoding: "utf8",
          stdio: ["ignore", "pipe", "ignore"],
        });
      gpg("--passphrase", "", "--quick-generate-key", "Laptop <laptop@example.com>", "ed25519", "sign", "never");
      deployment.startAgent(await deployment.createWorkspace("signs"), { GNUPGHOME: workspaceHome });
    });

    afterAll(() => {
      for (const folder of [home, workspaceHome])
        spawnSync("gpgconf", ["--kill", "all"], { env: { ...process.env, GNUPGHOME: folder } });
    });

    it("signs in the workspace with a key that stays on the laptop", async () => {
      const environment = { GNUPGHOME: home };
      const script =
        "echo text | gpg --batch --clearsign | tee signed | gpg --batch --verify 2>&1; gpg -K | wc -l; cat signed";
      const done = await deployment.run(["ssh", "-G", "signs", "--", script], { environment });
      expect(done.stdout, done.stderr).toContain('Good signature from "Laptop <laptop@example.com>"');
      const signed = deployment.write("signed", done.stdout.slice(done.stdout.indexOf("-----BEGIN PGP SIGNED")));
      const checked = spawnSync("gpg", ["--batch", "--verify", signed], { env: { ...process.env, GNUPGHOME: home } });
      expect(checked.status, String(checked.stderr)).toBe(0);
      const keys = join(workspaceHome, "private-keys-v1.d");
      expect(existsSync(keys) ? readdirSync(keys) : []).toEqual([]);
    });

    it("reports on which side GnuPG is missing", async () => {
      const bare = join(deployment.folder, "bare");
      mkdirSync(bare);
      symlinkSync(process.execPath, join(bare, "node"));
      const here = await deployment.run(["ssh", "-G", "signs", "--", "true"], { environment: { PATH: bare } });
      expect([here.code, here.stderr]).toEqual([1, expect.stringContaining("is not installed on this machine")]);
      deployment.startAgent(await deployment.createWorkspace("bare"), { PATH: bare, SHELL: "/bin/sh" });
      const there = await deployment.run(["ssh", "-G", "bare", "--", "true"], { environment: { GNUPGHOME: home } });
      expect([there.code, there.stderr]).toEqual([1, expect.stringContaining("not installed in the workspace")]);
    });
  });

  describe.runIf(hasXauth)("ssh -X (needs xauth)", () => {
    it("leads a program of the workspace to this machine's display, with the display's own cookie", async () => {
      const real = "0123456789abcdef0123456789abcdef";
      const setups: Buffer[] = [];
      const display = createServer((socket) => {
        socket.on("data", (chunk: Buffer) => {
          setups.push(chunk);
          socket.end("drawn");
        });
      }).listen(join(sockets, "x11:0"));
      await once(display, "listening");
      const authority = join(deployment.folder, "authority");
      const environment = { DISPLAY: `${join(sockets, "x11:0")}`, XAUTHORITY: authority };
      execFileSync("xauth", ["-q", "-f", authority, "add", environment.DISPLAY, "MIT-MAGIC-COOKIE-1", real]);
      const client = deployment.write(
        "x11.cjs",
        `const { execFileSync } = require("node:child_process");
         const cookie = /MIT-MAGIC-COOKIE-1\\s+([0-9a-f]+)/.exec(execFileSync("xauth", ["-q", "list", process.env.DISPLAY]))[1];
         const head = Buffer.from("6c000b0000001200100000004d49542d4d414749432d434f4f4b49452d310000", "hex");
         const port = 6000 + Number(/:(\\d+)/.exec(process.env.DISPLAY)[1]);
         require("node:net").connect(port, "127.0.0.1", function () { this.write(Buffer.concat([head, Buffer.from(cookie, "hex")])); })
           .on("data", (data) => console.log(cookie + " " + data));`,
      );
      const done = await deployment.run(["ssh", "-X", "demo", "--", `${process.execPath} ${client}`], { environment });
      display.close();
      const [cookie, answer] = done.stdout.trim().split(" ");
      expect([done.code, answer], done.stderr).toEqual([0, "drawn"]);
      expect(cookie).toMatch(/^[0-9a-f]{32}$/);
      expect(cookie).not.toBe(real);
      expect(setups[0]!.subarray(-16).toString("hex")).toBe(real);
    });

    it("reports that there is no display", async () => {
      const done = await deployment.run(["ssh", "-X", "demo", "--", "true"]);
      expect([done.code, done.stderr]).toEqual([1, expect.stringContaining("(ERR_NO_DISPLAY)")]);
    });
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

    // Last: it ends the agent of the tests above.
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
