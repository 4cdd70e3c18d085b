/** The report to the partners of a lost peer of how its control connection ended. */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { uuidToBytes } from "coder-protocol/addresses";
import { createRpcSession } from "coder-protocol/drpc/async";
import { CoordinateResponse_PeerUpdate_Kind as Kind, Tailnet } from "coder-protocol/gen/tailnet_pb.js";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { LOST, LOST_BY_CLOSE } from "coder-protocol/tailnet/node";
import { YamuxSession } from "coder-protocol/yamux/session";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { instant } from "wg-userspace/base/instant";
import { WebSocket } from "ws";
import { ConnectionEnd } from "../src/control/connection-end.ts";
import { addWorkspace, agentToken, firstUser, startServer, temporaryDirectory } from "./helpers.ts";
import { dial, nodeOf } from "./peers.ts";

let directory: string;
let cert: string;
let key: string;
beforeAll(() => {
  directory = temporaryDirectory();
  [cert, key] = [join(directory, "server.pem"), join(directory, "server.key")];
  const how = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...how.split(" "), "-keyout", key, "-out", cert], { stdio: "ignore" });
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));
afterEach(() => void vi.useRealTimers());

/** A client whose WebSocket and TCP connection the test holds. */
async function rawClient(port: number, tls: boolean, token: string, agentId: string) {
  const path = `/api/v2/workspaceagents/${agentId}/coordinate?version=2.0`;
  const transport = connect({ host: "127.0.0.1", port });
  const socket = new WebSocket(new URL(path, `${tls ? "wss" : "ws"}://127.0.0.1:${port}`), {
    headers: { [SESSION_TOKEN_HEADER]: token },
    createConnection: (() => (tls ? connectTls({ socket: transport, rejectUnauthorized: false }) : transport)) as never,
  });
  await new Promise((resolve, reject) => {
    socket.on("open", resolve);
    socket.on("error", reject);
  });
  socket.on("error", () => undefined);
  const yamux = new YamuxSession({ role: "client" });
  yamux.onOutput = () =>
    setImmediate(() => {
      for (let output = yamux.takeOutput(); output !== undefined; output = yamux.takeOutput())
        if (socket.readyState === socket.OPEN) socket.send(output);
    });
  socket.on("message", (data) => yamux.handleBytes(data as Buffer, performance.now()));
  const stream = createRpcSession(yamux).bidi(Tailnet.method.coordinate);
  stream.send({ addTunnel: { id: uuidToBytes(agentId) } });
  stream.send({ updateSelf: { node: nodeOf({ id: 5n, fill: 9, addresses: ["fd7a:115c:a1e0:1::5"] }) } });
  return { socket, transport };
}

type Client = Awaited<ReturnType<typeof rawClient>>;

/** The reason that an agent receives when the client ends this way. */
async function reasonAfter(end: (client: Client) => Promise<void> | void, tls = false): Promise<string> {
  await using server = await startServer({
    flags: {
      "stun-address": "disable",
      "derp-server-stun-addresses": "disable",
      "tls-enable": tls,
      "tls-address": "127.0.0.1:0",
      "tls-cert-file": [cert],
      "tls-key-file": [key],
    },
  });
  const { token } = await firstUser(server.url);
  const workspace = await addWorkspace(server.url, token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const agent = await dial(
    server.url,
    await agentToken(server.url, token, workspace.id),
    "/api/v2/workspaceagents/me/rpc",
  );
  try {
    const port = (tls ? server.server.tlsAddress?.port : server.port) ?? 0;
    const client = await rawClient(port, tls, token, agentId);
    try {
      for await (const { peerUpdates } of agent.rpc.bidi(Tailnet.method.coordinate).messages) {
        for (const { kind, reason } of peerUpdates) {
          if (kind === Kind.NODE) await end(client);
          else {
            expect(kind).toBe(Kind.LOST);
            return reason;
          }
        }
      }
      throw new Error("the agent received nothing");
    } finally {
      client.socket.terminate();
    }
  } finally {
    await agent.close();
  }
}

describe("the reason of a loss", () => {
  it.each<[string, (client: Client) => void, string]>([
    ["the end of the stream, as of a killed process", ({ transport }) => transport.destroy(), LOST_BY_CLOSE],
    ["a reset, as of one that had not read everything", ({ transport }) => transport.resetAndDestroy(), LOST_BY_CLOSE],
    ["a close frame", ({ socket }) => socket.close(1001), LOST],
    [
      "a close frame and no patience for the answer",
      ({ socket }) => {
        socket.close(4000);
        socket.terminate();
      },
      LOST,
    ],
    ["a message that the server closes for", ({ socket }) => socket.send("text"), LOST],
  ])("%s", async (_name, end, reason) => {
    expect(await reasonAfter(end)).toBe(reason);
    expect(await reasonAfter(end, true)).toBe(reason);
  });

  it("silence, which the server's pings detect", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
    const silent = Promise.withResolvers<void>();
    const reason = reasonAfter(({ transport }) => {
      transport.pause();
      silent.resolve();
    });
    let isOver = false;
    const over = (): void => {
      isOver = true;
    };
    reason.then(over, over);
    await Promise.race([silent.promise, reason]);
    while (!isOver) {
      vi.advanceTimersByTime(1_000);
      // Lets the server read and write between two turns of the event loop.
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await reason).toBe(LOST);
  });

  it("silence, and then an end by an intermediary", async () => {
    vi.useFakeTimers({ toFake: ["performance"] });
    expect(
      await reasonAfter(({ transport }) => {
        vi.advanceTimersByTime(21_000);
        transport.destroy();
      }),
    ).toBe(LOST);
  });
});

it("an end without a disconnect is significant only within one ping and its answer after the last input", () => {
  for (const [at, byClose] of [
    [29_999, true],
    [30_000, true],
    [30_001, false],
  ] as const) {
    const end = new ConnectionEnd(instant(0));
    end.heard(instant(10_000));
    expect(end.byClose).toBe(false);
    end.closed(instant(at));
    expect(end.byClose).toBe(byClose);
  }
});
