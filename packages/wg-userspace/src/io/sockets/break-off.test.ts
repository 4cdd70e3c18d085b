import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterEach, expect, it } from "vitest";
import { breakOff } from "./break-off.ts";
import { drainInto } from "./drain-into.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** Both ends of one connection. */
async function pair(path?: string): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  server.listen(path ?? { port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const accepting = once(server, "connection") as Promise<[Socket]>;
  const { port } = server.address() as AddressInfo;
  const near = connect({ ...(path === undefined ? { port, host: "127.0.0.1" } : { path }), allowHalfOpen: true });
  const [far] = await accepting;
  if (near.connecting) await once(near, "connect");
  server.close();
  ends.push(() => {
    near.destroy();
    far.destroy();
  });
  return [near, far];
}

/** How a socket ended: as if everything had come, or by an error. */
function endOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.once("end", () => resolve("end"));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.resume();
  });
}

/** A client and a program, joined by a relay between them. */
async function relayed() {
  const [client, clientSide] = await pair();
  const [program, programSide] = await pair();
  const over = Promise.allSettled([drainInto(clientSide, programSide), drainInto(programSide, clientSide)]);
  return { client, program, over };
}

it.each(["client", "program"] as const)("a reset of one side of a relay reaches the other: the %s's", async (which) => {
  const { client, program, over } = await relayed();
  const [breaking, other] = which === "client" ? [client, program] : [program, client];
  breaking.write("some");
  await once(other, "data");
  const end = endOf(other);
  breaking.resetAndDestroy();
  expect(await end).toBe("ECONNRESET");
  expect((await over).map(({ status }) => status)).toContain("rejected");
});

it("an end of one side of a relay is an end for the other", async () => {
  const { client, program, over } = await relayed();
  const end = endOf(client);
  program.end("all");
  expect(await end).toBe("end");
  const other = endOf(program);
  client.end();
  expect(await other).toBe("end");
  expect((await over).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled"]);
});

it("a socket to whose end everything was written is closed, not reset", async () => {
  const [near, far] = await pair();
  near.end("all");
  await once(near, "finish");
  let got = "";
  far.on("data", (chunk) => {
    got += String(chunk);
  });
  breakOff(near);
  expect(await endOf(far)).toBe("end");
  expect(got).toBe("all");
});

it.skipIf(process.platform === "win32")("a local socket, and any other stream, is closed", async () => {
  const [near, far] = await pair(join(tmpdir(), `break-off-${process.pid}.sock`));
  breakOff(near);
  expect(await endOf(far)).toBe("end");
  const stream = new PassThrough();
  breakOff(stream);
  breakOff(stream);
  expect(stream.destroyed).toBe(true);
});
