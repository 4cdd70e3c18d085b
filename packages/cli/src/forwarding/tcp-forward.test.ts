import { once } from "node:events";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { expect, it } from "vitest";
import { ForwardPlaces } from "./forward-places.ts";
import { TcpForward } from "./tcp-forward.ts";

it("reports the limit once when it is reached", async () => {
  const said: string[] = [];
  const forward = new TcpForward({
    spec: { protocol: "tcp", bind: "127.0.0.1", port: 0, target: { port: 80 } },
    dial: async () => new PassThrough(),
    say: (line) => void said.push(line),
    logger: { level: "error", log: () => undefined },
    places: new ForwardPlaces(2),
  });
  await forward.start();
  const open = () => connect(forward.port, "127.0.0.1").on("error", () => undefined);
  const held = [open(), open()];
  await expect.poll(() => forward.openConnections).toBe(2);
  for (let more = 0; more < 3; more++) await new Promise((resolve) => void open().once("close", resolve));
  expect(said).toEqual([
    `Port ${forward.port}: 2 connections are open through this command, the most that a workspace accepts from one client; further ones are closed`,
  ]);
  for (const socket of held) socket.destroy();
  await expect.poll(() => forward.openConnections).toBe(0);
  forward.close();
});

it.each([
  ["the connection to the workspace breaks off", (stream: PassThrough) => stream.destroy(new Error("broken"))],
  ["the command ends", (_stream: PassThrough, forward: TcpForward) => forward.close()],
])("resets a connection in the middle of its data when %s", async (_name, breakIt) => {
  const stream = new PassThrough();
  const forward = new TcpForward({
    spec: { protocol: "tcp", bind: "127.0.0.1", port: 0, target: { port: 80 } },
    dial: async () => stream,
    say: () => undefined,
    logger: { level: "error", log: () => undefined },
    places: new ForwardPlaces(2),
  });
  await forward.start();
  const client = connect(forward.port, "127.0.0.1");
  client.write("echoed");
  await once(client, "data");
  const failed = once(client, "error");
  client.once("end", () => client.destroy(new Error("ended as if everything had come")));
  breakIt(stream, forward);
  expect((await failed)[0]).toMatchObject({ code: "ECONNRESET" });
  forward.close();
});
