import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BaseAgent, type Client, type ClientChannel, type ParsedKey } from "ssh2";
import { afterEach, expect, test } from "vitest";
import { eventually, exec, outcome, run, TestService } from "./testing.ts";
import { findXauth, parseX11Request, programFolders } from "./x11.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const step of cleanup.splice(0)) step();
});

async function echoServer(
  where: { host: string; port: number } | { path: string } = { host: "127.0.0.1", port: 0 },
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  server.listen(where);
  await once(server, "listening");
  cleanup.push(() => server.close());
  return server;
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "ssh-forward-"));
  cleanup.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function forwardOut(client: Client, host: string, port: number): Promise<ClientChannel> {
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 1, host, port, (error, channel) =>
      error === undefined ? resolve(channel) : reject(error),
    );
  });
}

function forwardIn(client: Client, address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    client.forwardIn(address, port, (error, chosen) =>
      error === undefined ? resolve(port === 0 ? chosen : port) : reject(error),
    );
  });
}

async function roundTrip(stream: ClientChannel | Socket, bytes: Buffer): Promise<string> {
  const hash = createHash("sha256");
  stream.end(bytes);
  for await (const chunk of stream) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

test("direct-tcpip carries 16 MiB there and back, each direction ending on its own", async () => {
  await using t = new TestService();
  const server = await echoServer();
  const bytes = randomBytes(16 * 1024 * 1024);
  const channel = await forwardOut(await t.connect(), "127.0.0.1", portOf(server));
  expect(await roundTrip(channel, bytes)).toBe(sha256(bytes));
});

test("direct-tcpip to a closed port is refused with the reason", async () => {
  await using t = new TestService();
  const server = await echoServer();
  const port = portOf(server);
  server.close();
  await once(server, "close");
  const client = await t.connect();
  await expect(forwardOut(client, "127.0.0.1", port)).rejects.toThrow("Connection refused");
  await expect(forwardOut(client, "127.0.0.1", 0)).rejects.toThrow("port out of range");
  await expect(forwardOut(client, "127.0.0.1", 70_000)).rejects.toThrow("port out of range");
  await expect(forwardOut(client, `${"x".repeat(300)}`, 80)).rejects.toThrow("bad host name");
  await expect(forwardOut(client, "a\0b", 80)).rejects.toThrow("bad host name");
});

test("when the service behind a forward resets, the client's channel closes", async () => {
  await using t = new TestService();
  const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.push(() => server.close());
  const channel = await forwardOut(await t.connect(), "127.0.0.1", portOf(server));
  channel.resume();
  channel.write("anything");
  await once(channel, "close");
});

test("a forward whose far side never reads closes soon after the client left", async () => {
  await using t = new TestService();
  const accepted: Socket[] = [];
  const server = createServer((socket) => {
    socket.pause();
    socket.on("error", () => undefined);
    accepted.push(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanup.push(() => server.close());
  const client = await t.connect();
  const channel = await forwardOut(client, "127.0.0.1", portOf(server));
  channel.on("error", () => undefined);
  for (let i = 0; i < 40; i++) channel.write(Buffer.alloc(256 * 1024));
  await eventually("the connection is made", () => accepted.length === 1);
  client.destroy();
  await eventually("the connection is closed", () => {
    accepted[0]!.resume();
    return accepted[0]!.closed;
  });
});

test("direct-streamlocal reaches a unix socket", async () => {
  await using t = new TestService();
  const path = join(temporaryDirectory(), "s");
  await echoServer({ path });
  const client = await t.connect({ strictVendor: false });
  const open = (target: string): Promise<ClientChannel> =>
    new Promise((resolve, reject) => {
      client.openssh_forwardOutStreamLocal(target, (error, channel) =>
        error === undefined ? resolve(channel) : reject(error),
      );
    });
  expect(await roundTrip(await open(path), Buffer.from("hello"))).toBe(sha256(Buffer.from("hello")));
  await expect(open(`${path}-missing`)).rejects.toThrow("No such file");
  await expect(open("relative")).rejects.toThrow("bad socket path");
  await expect(open(`/${"x".repeat(200)}`)).rejects.toThrow("bad socket path");
});

test("tcpip-forward listens on loopback only, whichever wildcard address was requested, and cancel ends it", async () => {
  await using t = new TestService();
  const client = await t.connect();
  client.on("tcp connection", (_details, accept) => {
    const channel = accept();
    channel.pipe(channel);
  });
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((address) => address !== undefined && !address.internal && address.family === "IPv4")?.address;
  for (const address of ["", "0.0.0.0", "::", "localhost", "127.0.0.1"]) {
    const port = await forwardIn(client, address, 0);
    expect(port).toBeGreaterThan(0);
    const bytes = randomBytes(300_000);
    expect(await roundTrip(connect(port, "127.0.0.1"), bytes)).toBe(sha256(bytes));
    if (outside !== undefined) await expect(once(connect(port, outside), "connect")).rejects.toThrow("ECONNREFUSED");
    await new Promise<void>((resolve, reject) => {
      client.unforwardIn(address, port, (error?: Error | null) => (error ? reject(error) : resolve()));
    });
    await expect(once(connect(port, "127.0.0.1"), "connect")).rejects.toThrow("ECONNREFUSED");
  }
});

test("tcpip-forward refuses foreign addresses, taken ports and a second listener of the same name", async () => {
  await using t = new TestService();
  const client = await t.connect();
  await expect(forwardIn(client, "x".repeat(300), 0)).rejects.toThrow("Unable to bind");
  const taken = await echoServer();
  await expect(forwardIn(client, "127.0.0.1", portOf(taken))).rejects.toThrow("Unable to bind");
  const port = await forwardIn(client, "127.0.0.1", 0);
  await expect(forwardIn(client, "127.0.0.1", port)).rejects.toThrow("Unable to bind");
});

test("listeners are limited and end with the connection", async () => {
  await using t = new TestService({ limits: { maxForwards: 3 } });
  const client = await t.connect();
  const ports = [await forwardIn(client, "", 0), await forwardIn(client, "", 0), await forwardIn(client, "", 0)];
  await expect(forwardIn(client, "", 0)).rejects.toThrow("Unable to bind");
  client.destroy();
  await eventually("the connection is gone", () => t.service.connections === 0);
  for (const port of ports) await expect(once(connect(port, "127.0.0.1"), "connect")).rejects.toThrow("ECONNREFUSED");
});

test("a client that refuses the forwarded channel closes the accepted connection", async () => {
  await using t = new TestService();
  const client = await t.connect();
  client.on("tcp connection", (_details, _accept, reject) => reject());
  const socket = connect(await forwardIn(client, "127.0.0.1", 0), "127.0.0.1");
  socket.resume();
  await once(socket, "close");
});

test("streamlocal-forward makes a socket of the user alone, replaces a stale one, keeps other files", async () => {
  await using t = new TestService();
  const client = await t.connect({ strictVendor: false });
  client.on("unix connection", (_info, accept) => {
    const channel = accept();
    channel.pipe(channel);
  });
  const path = join(temporaryDirectory(), "s");
  const listen = (target: string): Promise<void> =>
    new Promise((resolve, reject) => {
      client.openssh_forwardInStreamLocal(target, (error?: Error | null) => (error ? reject(error) : resolve()));
    });
  await listen(path);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(await roundTrip(connect(path), Buffer.from("hi"))).toBe(sha256(Buffer.from("hi")));
  await new Promise<void>((resolve, reject) => {
    client.openssh_unforwardInStreamLocal(path, (error?: Error | null) => (error ? reject(error) : resolve()));
  });
  expect(existsSync(path)).toBe(false);

  const stale = await run(
    client,
    `node -e 'require("net").createServer().listen("${path}", () => process.kill(process.pid, 9))'`,
  );
  expect(stale.signal ?? stale.status).not.toBe(0);
  expect(statSync(path).isSocket()).toBe(true);
  await listen(path);

  const file = `${path}-file`;
  writeFileSync(file, "precious");
  await expect(listen(file)).rejects.toThrow("Unable to bind");
  expect(existsSync(file)).toBe(true);
  client.destroy();
  await eventually("the socket is removed", () => !existsSync(path));
});

function forwardInSocket(client: Client, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.openssh_forwardInStreamLocal(path, (error?: Error | null) => (error ? reject(error) : resolve()));
  });
}

async function otherProgram(path: string): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => undefined); // the agent looks whether anything listens, and hangs up
    socket.end("another program");
  });
  server.listen(path);
  await once(server, "listening");
  cleanup.push(() => server.close());
}

/** What comes from a connection to the socket. */
async function heardAt(path: string): Promise<string> {
  let text = "";
  for await (const chunk of connect(path)) text += String(chunk);
  return text;
}

test("streamlocal-forward keeps the socket of another program that listens there", async () => {
  await using t = new TestService();
  const path = join(temporaryDirectory(), "s");
  await otherProgram(path);
  const client = await t.connect({ strictVendor: false });
  await expect(forwardInSocket(client, path)).rejects.toThrow("Unable to bind");
  client.destroy();
  await eventually("the connection is gone", () => t.service.connections === 0);
  expect(await heardAt(path)).toBe("another program");
});

test("a path that cannot be looked at is refused, and the connection continues", async () => {
  await using t = new TestService();
  const loop = join(temporaryDirectory(), "loop");
  symlinkSync("loop", loop);
  const client = await t.connect({ strictVendor: false });
  await expect(forwardInSocket(client, join(loop, "s"))).rejects.toThrow("Unable to bind");
  expect((await run(client, "echo on")).stdout.toString()).toBe("on\n");
});

test("a client takes a forwarded socket over from an earlier one, whose end does not remove it", async () => {
  await using t = new TestService();
  const path = join(temporaryDirectory(), "s");
  const [first, second] = [await t.connect({ strictVendor: false }), await t.connect({ strictVendor: false })];
  for (const [client, name] of [
    [first, "first"],
    [second, "second"],
  ] as const) {
    client.on("unix connection", (_info, accept) => accept().end(name));
    await forwardInSocket(client, path);
    expect(await heardAt(path)).toBe(name);
  }
  first.destroy();
  await eventually("the first connection is gone", () => t.service.connections === 1);
  expect(await heardAt(path)).toBe("second");
  second.destroy();
  await eventually("the socket is removed", () => !existsSync(path));
});

test("a socket that another program has put in the place of a forwarded one stays when the client leaves", async () => {
  await using t = new TestService();
  const path = join(temporaryDirectory(), "s");
  const client = await t.connect({ strictVendor: false });
  await forwardInSocket(client, path);
  rmSync(path);
  await otherProgram(path);
  client.destroy();
  await eventually("the connection is gone", () => t.service.connections === 0);
  expect(await heardAt(path)).toBe("another program");
});

/** An SSH agent that answers every request with the same bytes in upper case. */
class FakeAgent extends BaseAgent {
  override getStream(callback: (error: Error | undefined, stream: Socket) => void): void {
    const server = createServer((socket) => {
      socket.on("data", (chunk) => socket.write(chunk.toString().toUpperCase()));
    });
    server.listen(0, "127.0.0.1", () => {
      const socket = connect(portOf(server), "127.0.0.1", () => callback(undefined, socket));
      socket.once("close", () => server.close());
    });
  }
  override getIdentities(callback: (error: Error | undefined, keys: ParsedKey[]) => void): void {
    callback(undefined, []);
  }
  override sign(): void {
    throw new Error("not used");
  }
}

test("agent forwarding: programs reach the client's agent through a socket only the user can open", async () => {
  await using t = new TestService();
  const client = await t.connect({ agent: new FakeAgent() as never, agentForward: true });
  const script = `
    const s = require("net").connect(process.env.SSH_AUTH_SOCK, () => s.write("sign this"));
    s.on("data", (d) => { console.log(process.env.SSH_AUTH_SOCK + " " + d); s.destroy(); });`;
  const result = await run(client, `node -e '${script}'`, { agentForward: true } as never);
  const [path = "", ...answer] = result.stdout.toString().trim().split(" ");
  expect(answer.join(" ")).toBe("SIGN THIS");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(path)).mode & 0o777).toBe(0o700);
  client.destroy();
  await eventually("socket and directory are removed", () => !existsSync(dirname(path)));
});

test("without agent forwarding there is no SSH_AUTH_SOCK", async () => {
  await using t = new TestService();
  expect((await run(await t.connect(), "echo [$SSH_AUTH_SOCK]")).stdout.toString()).toBe("[]\n");
});

const hasXauth = findXauth(programFolders(process.env["PATH"])) !== undefined;
const cookie = "00112233445566778899aabbccddeeff";

test.runIf(hasXauth)(
  "X11: programs find a display and its cookie, reach the client, and both are removed afterwards (needs xauth)",
  async () => {
    await using t = new TestService();
    const client = await t.connect();
    const heard: string[] = [];
    client.on("x11", (_, accept) => {
      const channel = accept();
      channel.on("data", (chunk: Buffer) => {
        heard.push(chunk.toString());
        channel.end("a window");
      });
    });
    const script = `
    const port = 6000 + Number(/^localhost:(\\d+)\\.2$/.exec(process.env.DISPLAY)[1]);
    const s = require("net").connect(port, "127.0.0.1", () => s.write("draw"));
    s.on("data", (d) => { console.log(port + " " + d); s.end(); });`;
    const x11 = { single: false, screen: 2, protocol: "MIT-MAGIC-COOKIE-1", cookie };
    const result = await outcome(await exec(client, `xauth -q list "$DISPLAY"; node -e '${script}'`, { x11 } as never));
    const said = result.stdout.toString();
    expect(said).toContain(`MIT-MAGIC-COOKIE-1  ${cookie}`);
    const port = Number(/^(\d+) a window$/m.exec(said)![1]);
    expect(port).toBeGreaterThanOrEqual(6010);
    expect(heard).toEqual(["draw"]);
    for (let tries = 0; tries < 100; tries++) {
      const left = await outcome(await exec(client, "xauth -q list"));
      if (!left.stdout.toString().includes(cookie)) return;
    }
    throw new Error("the cookie stays");
  },
);

test("X11: values that must not reach xauth are refused, and the session continues", async () => {
  await using t = new TestService();
  const client = await t.connect();
  for (const wrong of [
    { protocol: "MIT; rm", cookie, screen: 0 },
    { protocol: "MIT-MAGIC-COOKIE-1", cookie: "zz", screen: 0 },
    { protocol: "MIT-MAGIC-COOKIE-1", cookie, screen: 4096 },
  ]) {
    expect(parseX11Request({ single: false, ...wrong })).toBeUndefined();
    await expect(exec(client, "true", { x11: { single: false, ...wrong } } as never)).rejects.toThrow("X11");
  }
  expect((await outcome(await exec(client, "echo on [$DISPLAY]"))).stdout.toString()).toMatch(/^on \[/);
});
