import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { createServer as createTlsServer } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { type Region, relayNode } from "../../derp/map.ts";
import { relayCandidates } from "../../derp/relay-candidates.ts";
import { SELF_SIGNED_CERT, SELF_SIGNED_KEY } from "../../testing/self-signed.ts";
import { directRelayDialer } from "./relay-dialer.ts";
import { requestHead } from "./relay-upgrade.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** Accepts connections and answers nothing. */
function silentStream(): Duplex {
  return new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() });
}

function regionOf(...nodes: Parameters<typeof relayNode>[0][]): Region {
  return {
    regionId: 1,
    regionCode: "",
    regionName: "",
    embeddedRelay: false,
    avoid: false,
    nodes: nodes.map(relayNode),
  };
}

describe("relayCandidates", () => {
  const node = { name: "1a", regionId: 1, hostName: "relay.example.com" };
  it.each([
    ["name and 443 by default", {}, [["relay.example.com", 443, true, "relay.example.com"]]],
    ["the given port", { derpPort: 8443 }, [["relay.example.com", 8443, true, "relay.example.com:8443"]]],
    ["plain HTTP", { forceHttp: true }, [["relay.example.com", 80, false, "relay.example.com"]]],
    [
      "literal addresses instead of DNS, the name kept for TLS and Host",
      { ipv4: "192.0.2.1", ipv6: "2001:db8::1" },
      [
        ["192.0.2.1", 443, true, "relay.example.com"],
        ["2001:db8::1", 443, true, "relay.example.com"],
      ],
    ],
    ["DNS when a family is turned off", { ipv6: "none" }, [["relay.example.com", 443, true, "relay.example.com"]]],
    ["nothing for STUN only", { stunOnly: true }, []],
  ])("has %s", (_name, fields, expected) => {
    const found = relayCandidates(regionOf({ ...node, ...fields }));
    expect(found.map(({ target, hostHeader }) => [target.host, target.port, target.tls, hostHeader])).toEqual(expected);
    for (const { target } of found) expect(target.serverName).toBe("relay.example.com");
  });

  it("brackets IPv6 literals in the Host header", () => {
    const [candidate] = relayCandidates(regionOf({ name: "a", regionId: 1, hostName: "::1", derpPort: 3000 }));
    expect([candidate?.target.host, candidate?.hostHeader, candidate?.label]).toEqual([
      "::1",
      "[::1]:3000",
      "[::1]:3000",
    ]);
  });
});

describe("requestHead", () => {
  const options = { host: "h", path: "/derp", headers: {}, context: "x", signal: new AbortController().signal };

  it.each([{ "X-A": "1\r\nX-B: 2" }, { "X-A\r\n": "1" }, { "X A": "1" }, { "": "1" }])(
    "refuses a header that would change the request: %j",
    async (headers) => {
      await expect(requestHead(silentStream(), { ...options, headers })).rejects.toMatchObject({
        code: "ERR_INVALID_ARGUMENT",
      });
    },
  );

  it("reads a head that arrives byte by byte and returns the bytes that follow it", async () => {
    const server = createServer((socket) => {
      socket.once("data", async () => {
        for (const byte of Buffer.from("HTTP/1.1 101 Switching\r\nUpgrade: DERP\r\n\r\n")) {
          socket.write(Uint8Array.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        socket.write(Uint8Array.of(1, 2, 3));
      });
    });
    const port = await listen(server);
    const stream = await directRelayDialer.connect(
      { host: "127.0.0.1", port, tls: false, serverName: "h" },
      { signal: options.signal },
    );
    cleanups.push(() => stream.destroy());
    const head = await requestHead(stream, options);
    expect([head.status, head.reason, head.headers.get("upgrade")]).toEqual([101, "Switching", "DERP"]);
    const rest = [...head.rest];
    while (rest.length < 3) {
      const [chunk] = (await once(stream.resume(), "data")) as [Buffer];
      rest.push(...chunk);
    }
    expect(rest).toEqual([1, 2, 3]);
  });

  it("ends with the reason of the signal", async () => {
    const controller = new AbortController();
    const waiting = requestHead(silentStream(), { ...options, signal: controller.signal });
    controller.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
  });
});

describe("directRelayDialer", () => {
  const signal = new AbortController().signal;

  it("does not trust an unknown authority, names it, and sends nothing", async () => {
    const seen: Buffer[] = [];
    const server = createTlsServer({ key: SELF_SIGNED_KEY, cert: SELF_SIGNED_CERT }, (socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (chunk: Buffer) => seen.push(chunk));
    });
    const port = await listen(server);
    const target = { host: "127.0.0.1", port, tls: true, serverName: "relay.example.com" };
    await expect(directRelayDialer.connect(target, { signal })).rejects.toMatchObject({
      code: "ERR_TLS_UNTRUSTED",
      message: `cannot trust "127.0.0.1:${port}": its certificate is self-signed, in the name of "Inspecting Proxy"`,
    });
    expect(seen).toEqual([]);
    const stream = await directRelayDialer.connect({ ...target, insecure: true }, { signal });
    expect((stream as unknown as { alpnProtocol: unknown }).alpnProtocol).toBe(false);
    stream.destroy();
  });

  it("reports a plain server where TLS was expected", async () => {
    const server = createServer((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const port = await listen(server);
    const target = { host: "127.0.0.1", port, tls: true, serverName: "relay.example.com" };
    await expect(directRelayDialer.connect(target, { signal })).rejects.toMatchObject({ code: "ERR_TLS" });
  });

  it("stops when the signal aborts, before and during the connection", async () => {
    const target = { host: "127.0.0.1", port: 9, tls: false, serverName: "h" };
    await expect(directRelayDialer.connect(target, { signal: AbortSignal.abort(new Error("before")) })).rejects.toThrow(
      "before",
    );
    const server = createServer(() => undefined);
    const port = await listen(server);
    const controller = new AbortController();
    const waiting = directRelayDialer.connect(
      { host: "127.0.0.1", port, tls: true, serverName: "h" },
      { signal: controller.signal },
    );
    await once(server, "connection");
    controller.abort(new Error("during"));
    await expect(waiting).rejects.toThrow("during");
  });
});
