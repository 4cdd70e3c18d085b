import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import pg from "pg";
import { expect, test } from "vitest";
import { endSoon } from "./dedicated.ts";

/** AuthenticationOk and ReadyForQuery. */
const WELCOME = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49]);

test("a connection ends although the database does not close its side", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.write(WELCOME));
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection");
  const client = new pg.Client({ host: "127.0.0.1", port, user: "u", database: "d", password: "p" });
  await client.connect();
  const [socket] = await accepted;
  await endSoon(client);
  expect(socket.writable).toBe(true); // the database's side is still open
  socket.destroy();
  server.close();
});
