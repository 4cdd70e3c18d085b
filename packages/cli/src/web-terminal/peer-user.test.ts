import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { expect, it } from "vitest";
import { clientUser } from "./peer-user.ts";

const HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
const row = (local: string, remote: string, state: string, user: number): string =>
  `   3: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000  ${user}        0 38141 1 0000 20 4 30 10 -1\n`;
/** A connection from port 0xC350 to our port 0x1267. */
const ENDS = { localPort: 0x1267, remotePort: 0xc350 };
const CLIENT = "0100007F:C350";
const SERVER = "0100007F:1267";

const reads = (tables: Readonly<Record<string, string>>) => async (path: string) => {
  const text = tables[path];
  if (text === undefined) throw Object.assign(new Error("none"), { code: "ENOENT" });
  return text;
};

it("is the user of the client's socket, not of the server's", async () => {
  const tcp =
    HEAD + row(SERVER, "00000000:0000", "0A", 1) + row(SERVER, CLIENT, "01", 2) + row(CLIENT, SERVER, "01", 3);
  expect(await clientUser(ENDS, reads({ "/proc/net/tcp": tcp }))).toBe(3);
});

it("is found among sockets for IPv6 that were connected to an IPv4 address", async () => {
  const mapped = "0000000000000000FFFF0000";
  const tcp6 = HEAD + row(mapped + CLIENT, mapped + SERVER, "01", 4);
  expect(await clientUser(ENDS, reads({ "/proc/net/tcp": HEAD, "/proc/net/tcp6": tcp6 }))).toBe(4);
});

it("is unknown where the program has closed the socket, for which the kernel shows root", async () => {
  for (const state of ["04", "05", "06", "0B"]) {
    const tcp = HEAD + row(CLIENT, SERVER, state, 0);
    expect(await clientUser(ENDS, reads({ "/proc/net/tcp": tcp }))).toBe("gone");
  }
});

it("is not that of another connection", async () => {
  const tcp =
    HEAD + row("0100007F:C351", SERVER, "01", 5) + row(CLIENT, "0100007F:1268", "01", 6) + row("0", "", "01", 7);
  expect(await clientUser(ENDS, reads({ "/proc/net/tcp": tcp }))).toBe("gone");
});

it("is undefined where the system has no such tables, and any other failure is one", async () => {
  expect(await clientUser(ENDS, reads({}))).toBeUndefined();
  const broken = async (): Promise<string> => {
    throw Object.assign(new Error("broken"), { code: "EIO" });
  };
  await expect(clientUser(ENDS, broken)).rejects.toThrow("broken");
});

it.runIf(process.platform === "linux")("is this user for a connection of this process", async () => {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const client = connect((server.address() as { port: number }).port, "127.0.0.1");
  const [socket] = await accepted;
  try {
    const { localPort = 0, remotePort = 0 } = socket;
    expect(await clientUser({ localPort, remotePort })).toBe(process.getuid?.());
  } finally {
    client.destroy();
    socket.destroy();
    server.close();
  }
});
