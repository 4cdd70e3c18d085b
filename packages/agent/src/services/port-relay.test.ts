import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type Duplex, duplexPair } from "node:stream";
import { afterEach, describe, expect, it } from "vitest";
import { formatIp, ip } from "wg-userspace/base/ip";
import { silentLogger } from "wg-userspace/base/ports";
import type { TcpRequest } from "wg-userspace/netstack/stack";
import { PortRelay } from "./port-relay.ts";

const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const undo of cleanup.splice(0)) undo();
});

function requestFor(port: number): TcpRequest {
  const unused = (): never => {
    throw new Error("the relay goes through its tunnel");
  };
  return {
    local: { address: ip("fd7a::1"), port },
    remote: { address: ip("fd7a::2"), port: 40000 },
    accept: unused,
    reject: unused,
  };
}

function tunnelEnd(): { near: Duplex; far: Duplex } {
  const [near, far] = duplexPair();
  return { near, far };
}

async function listen(host: string): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("data", (chunk) => socket.write(`echo:${chunk}`));
    socket.on("end", () => socket.end("bye"));
    socket.on("error", () => undefined); // closing the relay resets what is open
  });
  server.listen(0, host);
  await once(server, "listening");
  cleanup.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe("PortRelay", () => {
  it.each(["127.0.0.1", "::1"])(
    "accepts only after the program on %s answered, and carries bytes and half-close",
    async (host) => {
      const port = await listen(host);
      const { near, far } = tunnelEnd();
      const accepted = Promise.withResolvers<void>();
      const relay = new PortRelay(
        {
          accept: () => {
            accepted.resolve();
            return near;
          },
          reject: () => accepted.reject(new Error("rejected")),
        },
        silentLogger,
      );
      relay.handleRequest(requestFor(port));
      await accepted.promise;
      let received = "";
      far.on("data", (chunk) => {
        received += String(chunk);
      });
      far.write("hi");
      while (!received.includes("echo:hi")) await once(far, "data");
      far.end();
      await once(far, "end");
      expect(received).toBe("echo:hibye");
    },
  );

  it("refuses connections beyond the share of one client, and accepts those of others", async () => {
    const port = await listen("127.0.0.1");
    const outcomes: string[] = [];
    const ends: Duplex[] = [];
    let settled = Promise.withResolvers<void>();
    const note = (what: string, request: TcpRequest): void => {
      outcomes.push(`${what} ${formatIp(request.remote.address)}`);
      settled.resolve();
      settled = Promise.withResolvers();
    };
    const relay = new PortRelay(
      {
        accept: (request) => {
          const { near, far } = tunnelEnd();
          ends.push(far);
          note("accepted", request);
          return near;
        },
        reject: (request) => note("refused", request),
      },
      silentLogger,
      { total: 3, perPeer: 2 },
    );
    const from = (address: string) => ({ ...requestFor(port), remote: { address: ip(address), port: 40000 } });
    for (const address of ["fd7a::2", "fd7a::2", "fd7a::2", "fd7a::3", "fd7a::4"]) {
      const { promise } = settled;
      relay.handleRequest(from(address));
      await promise;
    }
    expect(outcomes).toEqual([
      "accepted fd7a::2",
      "accepted fd7a::2",
      "refused fd7a::2",
      "accepted fd7a::3",
      "refused fd7a::4",
    ]);
    // Ending a connection frees its place.
    for (const end of ends.splice(0, 1)) end.resume().end();
    await expect.poll(() => relay.openConnections, { timeout: 20_000 }).toBe(2);
    const { promise } = settled;
    relay.handleRequest(from("fd7a::2"));
    await promise;
    expect(outcomes.at(-1)).toBe("accepted fd7a::2");
    relay.close();
  });

  it("rejects the SYN when nothing listens on the port", async () => {
    const rejected = Promise.withResolvers<TcpRequest>();
    const relay = new PortRelay(
      {
        accept: () => rejected.reject(new Error("accepted")) as undefined,
        reject: (request) => rejected.resolve(request),
      },
      silentLogger,
    );
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, "close");
    relay.handleRequest(requestFor(port));
    expect((await rejected.promise).local.port).toBe(port);
    expect(relay.openConnections).toBe(0);
  });
});
