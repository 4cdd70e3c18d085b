import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { type SocksTarget, serveSocks } from "./socks.ts";

const servers: Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function listening(server: Server): Promise<number> {
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** A SOCKS server that connects every request to an echo server. */
async function socks(
  dial?: (target: SocksTarget) => Promise<Duplex>,
): Promise<{ port: number; dialed: SocksTarget[] }> {
  const echo = await listening(createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)));
  const dialed: SocksTarget[] = [];
  const port = await listening(
    createServer({ allowHalfOpen: true }, (socket) => {
      serveSocks(socket, async (target) => {
        dialed.push(target);
        if (dial !== undefined) return dial(target);
        const stream = connect({ port: echo, host: "127.0.0.1", allowHalfOpen: true });
        await once(stream, "connect");
        return stream;
      }).catch(() => undefined); // these tests check what the client sees
    }),
  );
  return { port, dialed };
}

/** Sends these bytes in pieces of the given size and returns everything received. */
async function talk(port: number, bytes: readonly number[], piece = bytes.length): Promise<number[]> {
  const socket: Socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  const heard: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => heard.push(chunk));
  socket.on("error", () => undefined); // a refusal may come as a reset
  await once(socket, "connect");
  for (let at = 0; at < bytes.length; at += Math.max(1, piece)) {
    socket.write(Uint8Array.from(bytes.slice(at, at + Math.max(1, piece))));
    if (piece < bytes.length) await new Promise((resolve) => setImmediate(resolve));
  }
  socket.end();
  await once(socket, "close");
  return [...Buffer.concat(heard)];
}

const text = (value: string): number[] => [...Buffer.from(value)];
const name = text("db.internal");
const hello = text("hello");

describe("a SOCKS client", () => {
  const granted5 = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
  const granted4 = [0, 90, 0, 0, 0, 0, 0, 0];
  test.each<[string, number[], number[], SocksTarget]>([
    [
      "5 by name",
      [5, 1, 0, 5, 1, 0, 3, name.length, ...name, 0x15, 0x38],
      granted5,
      { host: "db.internal", port: 5432 },
    ],
    ["5 by IPv4", [5, 2, 2, 0, 5, 1, 0, 1, 10, 0, 0, 7, 0, 80], granted5, { host: "10.0.0.7", port: 80 }],
    [
      "5 by IPv6",
      [5, 1, 0, 5, 1, 0, 4, 0xfd, ...new Array(14).fill(0), 1, 0, 80],
      granted5,
      { host: "fd00::1", port: 80 },
    ],
    ["4 by address", [4, 1, 0, 80, 10, 0, 0, 7, ...text("me"), 0], granted4, { host: "10.0.0.7", port: 80 }],
    ["4a by name", [4, 1, 0, 80, 0, 0, 0, 1, 0, ...name, 0], granted4, { host: "db.internal", port: 80 }],
  ])(
    "of version %s is connected, in one piece or byte by byte, and what it sends right away is not lost",
    async (_, request, granted, target) => {
      const { port, dialed } = await socks();
      for (const piece of [undefined, 1])
        expect(await talk(port, [...request, ...hello], piece)).toEqual([...granted, ...hello]);
      expect(dialed).toEqual([target, target]);
    },
  );

  test.each<[string, number[], number[]]>([
    ["wants a password", [5, 1, 2], [5, 0xff]],
    ["wants to listen", [5, 1, 0, 5, 2, 0, 1, 1, 2, 3, 4, 0, 80], [5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0]],
    ["names a strange kind of address", [5, 1, 0, 5, 1, 0, 9, 1, 2, 3], [5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0]],
    [
      "names a host with a blank",
      [5, 1, 0, 5, 1, 0, 3, 3, ...text("a b"), 0, 80],
      [5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0],
    ],
    ["of version 4 wants to listen", [4, 2, 0, 80, 1, 2, 3, 4, 0], [0, 91, 0, 0, 0, 0, 0, 0]],
    ["speaks HTTP", text("GET / HTTP/1.1\r\n\r\n"), []],
    ["goes away", [5], []],
    ["never ends its name", [4, 1, 0, 80, 0, 0, 0, 1, ...new Array(700).fill(97)], []],
  ])("that %s is refused as the version says", async (_, request, answer) => {
    const { port, dialed } = await socks();
    expect(await talk(port, request)).toEqual(answer);
    expect(dialed).toEqual([]);
  });

  test("gets a reply when the host cannot be reached", async () => {
    const { port } = await socks(async () => {
      throw new Error("refused");
    });
    const request = [5, 1, 0, 5, 1, 0, 1, 10, 0, 0, 7, 0, 80];
    expect(await talk(port, request)).toEqual([5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
  });

  test("that sends anything at all ends", async () => {
    const { port } = await socks();
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(4, 5, 0), fc.uint8Array({ maxLength: 40 }), async (version, rest) => {
        await talk(port, [version, ...rest]);
      }),
      { numRuns: 60 },
    );
  });
});
