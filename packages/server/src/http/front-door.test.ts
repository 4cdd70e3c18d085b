import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { DomainError } from "../base/domain-error.ts";
import { FrontDoor, type FrontDoorOptions } from "./front-door.ts";
import { DEFAULT_LIMITS } from "./limits.ts";

const SWITCHING = "HTTP/1.1 101 Switching Protocols\r\n\r\n";

/** What a client reads after an upgrade that is refused, and what is logged about it. */
async function refusedUpgrade(answersFirst: boolean) {
  const logged: string[] = [];
  const door = new FrontDoor({
    requestRoutes: [],
    upgradeRoutes: [
      {
        name: "refusing",
        match: () => true,
        handle: async (_request: IncomingMessage, socket: Duplex) => {
          if (answersFirst) socket.write(SWITCHING);
          throw new DomainError("unavailable", "The database is away.");
        },
      },
    ],
    hosts: { isOurs: () => true },
    clientAddress: () => "192.0.2.1",
    settings: { accessUrl: undefined, redirectToAccessUrl: false, hstsMaxAgeSeconds: 0 },
    limits: DEFAULT_LIMITS,
    log: { debug: () => undefined, warn: (_facts: object, text: string) => logged.push(text) },
  } as unknown as FrontDoorOptions);
  const server = createServer();
  server.on("upgrade", (request, socket, head) => door.upgrade(request, socket, head));
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  client.write("GET /watch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  let read = "";
  client.setEncoding("utf8").on("data", (text: string) => {
    read += text;
  });
  await once(client, "close");
  return { read, logged };
}

test("a refusal before the handshake is an answer", async () => {
  const { read, logged } = await refusedUpgrade(false);
  expect(read).toMatch(/^HTTP\/1\.1 503 /);
  expect(read).toContain("The database is away.");
  expect(logged).toEqual([]);
});

test("a refusal after the handshake ends the connection without a second answer", async () => {
  expect(await refusedUpgrade(true)).toEqual({ read: SWITCHING, logged: ["upgrade failed"] });
});
