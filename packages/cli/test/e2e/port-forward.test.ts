/** `coder port-forward` through real processes: what it listens on, what arrives, and what it says. */
import type { ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort, TestDeployment } from "./deployment.ts";

/** Answers with the SHA-256 of everything it heard, once the sender has ended its half, after 1 MiB of its own. */
const ANSWER = randomBytes(1 << 20);

describe("port-forward", () => {
  let deployment: TestDeployment;
  let token: string;
  let agent: ChildProcess;
  let hashing: Server;
  let hashingPort: number;
  const running: Forwarding[] = [];

  beforeAll(async () => {
    deployment = await TestDeployment.start();
    token = await deployment.createWorkspace("demo");
    agent = deployment.startAgent(token);
    hashing = createServer({ allowHalfOpen: true }, (socket) => {
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.on("error", () => undefined); // a client that went away
      socket.on("end", () => {
        socket.write(ANSWER);
        socket.end(hash.digest());
      });
    }).listen(0, "127.0.0.1");
    await once(hashing, "listening");
    hashingPort = (hashing.address() as AddressInfo).port;
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
  });

  afterEach(async () => {
    for (const forwarding of running.splice(0)) await forwarding.end();
  });

  afterAll(async () => {
    hashing?.close();
    await deployment?.close();
  });

  async function forward(...args: string[]): Promise<Forwarding> {
    const forwarding = new Forwarding(deployment.spawn(["port-forward", "demo", ...args], {}));
    running.push(forwarding);
    await forwarding.says("Ready!");
    return forwarding;
  }

  it("carries bytes both ways unchanged, each direction ending on its own", async () => {
    const local = await freePort();
    const forwarding = await forward("--tcp", `${local}:${hashingPort}`);
    expect(forwarding.stderr).toContain(
      `Forwarding tcp://127.0.0.1:${local} locally to tcp://127.0.0.1:${hashingPort} in the workspace\n`,
    );
    const sent = randomBytes(3 << 20);
    const answers = await Promise.all([sent, Buffer.alloc(0), sent].map((payload) => exchange(local, payload)));
    for (const [index, payload] of [sent, Buffer.alloc(0), sent].entries()) {
      const answer = answers[index]!;
      expect(answer.length).toBe(ANSWER.length + 32);
      expect(answer.subarray(0, ANSWER.length).equals(ANSWER)).toBe(true);
      expect(answer.subarray(ANSWER.length)).toEqual(createHash("sha256").update(payload).digest());
    }
    const { code, stdout } = await forwarding.end();
    expect([code, stdout]).toEqual([0, ""]);
    expect(forwarding.stderr).toMatch(/Forwarding ended\n$/);
    await expect(exchange(local, Buffer.alloc(0))).rejects.toThrow(/ECONNREFUSED/);
  });

  it("leads several ports at once, to the workspace and to hosts it reaches", async () => {
    const [plain, named] = [await freePort(), await freePort()];
    const forwarding = await forward(
      ...["-p", `127.0.0.1:${plain}:${hashingPort},${named}:localhost:${hashingPort}`],
      "--disable-direct-connections",
    );
    for (const port of [plain, named]) {
      const answer = await exchange(port, Buffer.from("through the relay"));
      expect(answer.subarray(ANSWER.length)).toEqual(createHash("sha256").update("through the relay").digest());
    }
    expect(forwarding.stderr).toContain(`locally to tcp://localhost:${hashingPort} in the workspace\n`);
  });

  it("says when nobody listens there, and goes on", async () => {
    const [local, nobody] = [await freePort(), await freePort()];
    const forwarding = await forward("--tcp", `${local}:${nobody}`, "--tcp", `${await freePort()}:localhost:${nobody}`);
    expect(await exchange(local, Buffer.from("anybody?")).catch(() => Buffer.alloc(0))).toEqual(Buffer.alloc(0));
    await forwarding.says(`Cannot connect to tcp://127.0.0.1:${nobody} in the workspace: nobody listens there`);
    expect(forwarding.child.exitCode).toBe(null);
  });

  it("carries datagrams of several senders, and tells who is not there", async () => {
    const program = createSocket("udp4", (payload, from) => {
      program.send(`${from.port} ${payload.length} ${payload.subarray(0, 8)}`, from.port, from.address);
    }).bind(0, "127.0.0.1");
    await once(program, "listening");
    const closed = createSocket("udp4").bind(0, "127.0.0.1");
    await once(closed, "listening");
    const nobody = closed.address().port;
    closed.close();
    const [local, dead] = [await freePort(), await freePort()];
    const forwarding = await forward("--udp", `${local}:${program.address().port},${dead}:${nobody}`);
    const senders = [createSocket("udp4"), createSocket("udp4")] as const;
    try {
      const first = await ask(senders[0], local, Buffer.from("sender 1"));
      const second = await ask(senders[1], local, Buffer.from("sender 2"));
      const again = await ask(senders[0], local, Buffer.from("sender 3"));
      expect([first.at(-1), second.at(-1), again.at(-1)].join("")).toBe("123");
      expect(first.split(" ")[0]).toBe(again.split(" ")[0]);
      expect(first.split(" ")[0]).not.toBe(second.split(" ")[0]);
      const long = Buffer.alloc(1500, "x");
      expect(await ask(senders[0], local, long)).toMatch(/^\d+ 1500 x{8}$/);
      senders[1].send("hello?", dead, "127.0.0.1");
      await forwarding.says(`Nobody listens on udp://127.0.0.1:${nobody} in the workspace yet`);
    } finally {
      for (const socket of [...senders, program]) socket.close();
    }
  });

  it("leads ports of the workspace to this machine", async () => {
    const remote = await freePort();
    const forwarding = await forward("--reverse", `${remote}:${hashingPort}`);
    expect(forwarding.stderr).toContain(
      `Forwarding tcp://127.0.0.1:${remote} in the workspace to tcp://127.0.0.1:${hashingPort} locally\n`,
    );
    const answer = await exchange(remote, ANSWER);
    expect(answer.subarray(ANSWER.length)).toEqual(createHash("sha256").update(ANSWER).digest());
  });

  it("--auto follows programs as they start and stop listening", async () => {
    const forwarding = await forward("--auto");
    const program = deployment.spawnProgram(
      "require('node:net').createServer((s) => s.end('from the workspace')).listen(0, '127.0.0.1', function () { console.log(this.address().port); });",
    );
    const port = Number(String((await once(program.stdout!, "data"))[0]).trim());
    const line = await forwarding.says(new RegExp(`Port ${port} of the workspace( \\(.+\\))? is http://\\S+`));
    const url = new URL(/http:\S+/.exec(line)![0]);
    expect(url.hostname).toBe(`${port}.demo.localhost`);
    expect((await exchange(Number(url.port), Buffer.alloc(0))).toString()).toBe("from the workspace");
    program.kill("SIGTERM");
    await forwarding.says(`Port ${port} of the workspace is closed`);
  });

  describe("what cannot work is said before anything listens", () => {
    it.each([
      [["--tcp", "0"], 2, "--tcp"],
      [["--tcp", "8080:70000"], 2, "--tcp"],
      [["--tcp", "8000-8010:9000-9005"], 2, "--tcp"],
      [["--udp", "53:dns.internal:53"], 2, "--udp leads to the workspace itself"],
      [[], 2, "Nothing to forward"],
    ])("%j", async (args, code, words) => {
      const done = await deployment.run(["port-forward", "demo", ...args]);
      expect([done.code, done.stdout]).toEqual([code, ""]);
      expect(done.stderr).toContain(words);
    });

    it("a port that another program uses", async () => {
      const done = await deployment.run(["tunnel", "demo", "--tcp", `${hashingPort}`]);
      expect([done.code, done.stdout]).toEqual([1, ""]);
      expect(done.stderr).toContain(`Cannot listen on tcp://127.0.0.1:${hashingPort}`);
      expect(done.stderr).toContain("(ERR_ADDRESS_IN_USE)");
    });

    it("a port of the workspace that another program uses", async () => {
      const done = await deployment.run(["port-forward", "demo", "--reverse", `${hashingPort}:1`]);
      expect(done.code).toBe(1);
      expect(done.stderr).toContain(`The workspace cannot listen on tcp://127.0.0.1:${hashingPort}`);
    });
  });

  it("relayed connections and an sftp transfer go on over a server that was killed and started again", async () => {
    const local = await freePort();
    await forward("--tcp", `${local}:${hashingPort}`, "--disable-direct-connections");
    const socket = connect({ port: local, host: "127.0.0.1", allowHalfOpen: true });
    const heard: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => heard.push(chunk));
    const sent = randomBytes(2 << 20);
    socket.write(sent.subarray(0, 1 << 19));
    const file = deployment.write("large", "x".repeat(64 << 20));
    const copied = `${file}.copy`;
    const copying = deployment.run(["cp", "--disable-direct-connections", file, `demo:${copied}`]);
    while (!existsSync(`${copied}.coder-part`)) await sleep(5);
    deployment.server!.kill("SIGKILL");
    await once(deployment.server!, "exit");
    socket.write(sent.subarray(1 << 19, 1 << 20)); // nothing can carry it now
    await deployment.startServer();
    socket.end(sent.subarray(1 << 20));
    await once(socket, "close");
    expect(Buffer.concat(heard).subarray(ANSWER.length)).toEqual(createHash("sha256").update(sent).digest());
    const done = await copying;
    expect(done.code, done.stderr).toBe(0);
    expect(readFileSync(copied).equals(readFileSync(file))).toBe(true);
  });

  // Last: the agent of the tests above ends.
  it("outlives an agent that was killed and started again", async () => {
    const [local, remote] = [await freePort(), await freePort()];
    const forwarding = await forward("--tcp", `${local}:${hashingPort}`, "--reverse", `${remote}:${hashingPort}`);
    expect((await exchange(local, Buffer.from("1"))).length).toBe(ANSWER.length + 32);
    agent.kill("SIGKILL");
    await once(agent, "exit");
    await forwarding.says("No answer from the workspace");
    deployment.startAgent(token);
    await forwarding.says("The workspace answers again");
    expect((await exchange(local, Buffer.from("2"))).length).toBe(ANSWER.length + 32);
    await forwarding.says("Reverse forwards are back");
    expect((await exchange(remote, Buffer.from("3"))).length).toBe(ANSWER.length + 32);
  });
});

/** A `coder port-forward` that runs. */
class Forwarding {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.on("data", (chunk) => {
      this.stdout += String(chunk);
    });
    child.stderr!.on("data", (chunk) => {
      this.stderr += String(chunk);
    });
  }

  /** The first line with these words, waiting for it. */
  async says(words: string | RegExp): Promise<string> {
    const until = Date.now() + 40_000;
    for (;;) {
      const line = this.stderr
        .split("\n")
        .find((text) => (typeof words === "string" ? text.includes(words) : words.test(text)));
      if (line !== undefined) return line;
      if (Date.now() > until || this.child.exitCode !== null) throw new Error(`it never said ${words}: ${this.stderr}`);
      await sleep(20);
    }
  }

  async end(): Promise<{ code: number | null; stdout: string }> {
    if (this.child.exitCode === null) {
      this.child.kill("SIGTERM");
      await once(this.child, "close");
    }
    return { code: this.child.exitCode, stdout: this.stdout };
  }
}

/** Sends everything, ends its half, and returns everything that came back. */
async function exchange(port: number, payload: Buffer): Promise<Buffer> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.end(payload);
  await once(socket, "close");
  return Buffer.concat(chunks);
}

/** One datagram and its answer. */
async function ask(socket: UdpSocket, port: number, payload: Buffer): Promise<string> {
  const answer = once(socket, "message", { signal: AbortSignal.timeout(10_000) });
  socket.send(payload, port, "127.0.0.1");
  return String(((await answer) as [Buffer])[0]);
}
