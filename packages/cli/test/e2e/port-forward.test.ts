/** `coder port-forward` through real processes: its listeners, its data and its messages. */
import { createHash, randomBytes } from "node:crypto";
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { freePort } from "../free-port.ts";
import { ANSWER, exchange, ForwardedWorkspace } from "./forwarded-workspace.ts";

describe("port-forward", () => {
  let workspace: ForwardedWorkspace;

  beforeAll(async () => {
    workspace = await ForwardedWorkspace.start();
  });

  afterEach(() => workspace.endForwards());

  afterAll(async () => {
    await workspace?.close();
  });

  it("carries bytes both ways unchanged, each direction ending on its own", async () => {
    const local = await freePort();
    const forwarding = await workspace.forward("--tcp", `${local}:${workspace.hashingPort}`);
    expect(forwarding.stderr).toContain(
      `Forwarding tcp://127.0.0.1:${local} locally to tcp://127.0.0.1:${workspace.hashingPort} in the workspace\n`,
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

  it("forwards several ports at once, to the workspace and to hosts it reaches", async () => {
    const [plain, named] = [await freePort(), await freePort()];
    const forwarding = await workspace.forward(
      ...["-p", `127.0.0.1:${plain}:${workspace.hashingPort},${named}:localhost:${workspace.hashingPort}`],
      "--disable-direct-connections",
    );
    for (const port of [plain, named]) {
      const answer = await exchange(port, Buffer.from("through the relay"));
      expect(answer.subarray(ANSWER.length)).toEqual(createHash("sha256").update("through the relay").digest());
    }
    expect(forwarding.stderr).toContain(`locally to tcp://localhost:${workspace.hashingPort} in the workspace\n`);
  });

  it("reports a missing listener, and continues", async () => {
    const [local, unbound] = [await freePort(), await freePort()];
    const forwarding = await workspace.forward(
      "--tcp",
      `${local}:${unbound}`,
      "--tcp",
      `${await freePort()}:localhost:${unbound}`,
    );
    expect(await exchange(local, Buffer.from("hello")).catch(() => Buffer.alloc(0))).toEqual(Buffer.alloc(0));
    await forwarding.says(`Cannot connect to tcp://127.0.0.1:${unbound} in the workspace: nothing listens there`);
    expect(forwarding.child.exitCode).toBe(null);
  });

  it("carries datagrams of several senders, and reports missing programs", async () => {
    const program = createSocket("udp4", (payload, from) => {
      program.send(`${from.port} ${payload.length} ${payload.subarray(0, 8)}`, from.port, from.address);
    }).bind(0, "127.0.0.1");
    await once(program, "listening");
    const closed = createSocket("udp4").bind(0, "127.0.0.1");
    await once(closed, "listening");
    const unbound = closed.address().port;
    closed.close();
    const [local, dead] = [await freePort(), await freePort()];
    const forwarding = await workspace.forward("--udp", `${local}:${program.address().port},${dead}:${unbound}`);
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
      await forwarding.says(`Nothing listens on udp://127.0.0.1:${unbound} in the workspace yet`);
    } finally {
      for (const socket of [...senders, program]) socket.close();
    }
  });
});

/** Sends one datagram and returns its answer. */
async function ask(socket: UdpSocket, port: number, payload: Buffer): Promise<string> {
  const answer = once(socket, "message", { signal: AbortSignal.timeout(10_000) });
  socket.send(payload, port, "127.0.0.1");
  return String(((await answer) as [Buffer])[0]);
}
