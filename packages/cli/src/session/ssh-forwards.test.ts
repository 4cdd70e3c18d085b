/** `-R` through SSH to the agent's own server. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { TestService } from "coder-agent/services/ssh/testing";
import { afterEach, describe, expect, it } from "vitest";
import { startForwards } from "./ssh-forwards.ts";

const LARGE = 4_000_000;

/** Like node:stream/consumers, but keeps the other direction open. */
async function buffer(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

describe("-R", () => {
  const ending: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const end of ending.splice(0).reverse()) await end();
  });

  async function listening(answer: (socket: Socket) => void): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, answer).listen(0, "127.0.0.1");
    await once(server, "listening");
    ending.push(() => void server.close());
    return (server.address() as AddressInfo).port;
  }

  /** Connects, in the workspace, to a forward that leads to a port of this machine. */
  async function forwardedTo(port: number): Promise<Socket> {
    const service = new TestService();
    ending.push(() => service[Symbol.asyncDispose]());
    const client = await service.connect();
    const remotePort = await new Promise<number>((resolve) => {
      const forwardIn = client.forwardIn.bind(client);
      client.forwardIn = (host, wanted, done) =>
        forwardIn(host, wanted, (error, bound) => {
          resolve(bound!);
          done?.(error, bound!);
        });
      void startForwards(client, {
        local: [],
        dynamic: [],
        remote: [
          {
            remote: { kind: "tcp", host: "127.0.0.1", port: 0 },
            local: { kind: "tcp", host: "127.0.0.1", port },
            text: "the forward",
          },
        ],
        stderr: new PassThrough(),
        logger: { level: "error", log: () => undefined },
      });
    });
    const socket = connect({ port: remotePort, host: "127.0.0.1", allowHalfOpen: true });
    ending.push(() => void socket.destroy());
    return socket;
  }

  it("the workspace ends its direction first: everything comes back", async () => {
    const port = await listening(async (socket) => {
      const question = await buffer(socket);
      socket.end(Buffer.concat([question, Buffer.alloc(LARGE, "a")]));
    });
    const socket = await forwardedTo(port);
    socket.end("question");
    const answer = await buffer(socket);
    expect([answer.length, answer.subarray(0, 8).toString()]).toEqual([8 + LARGE, "question"]);
  });

  it("this machine ends its direction first: everything arrives", async () => {
    const arrived = Promise.withResolvers<Buffer>();
    const port = await listening((socket) => {
      socket.end("greeting");
      buffer(socket).then(arrived.resolve, arrived.reject);
    });
    const socket = await forwardedTo(port);
    expect((await buffer(socket)).toString()).toBe("greeting");
    socket.end(Buffer.alloc(LARGE, "q"));
    expect((await arrived.promise).length).toBe(LARGE);
  });
});
