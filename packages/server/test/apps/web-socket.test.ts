/** WebSockets through the server to programs, and requests that are not WebSockets. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer as createNetServer } from "node:net";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { givenHeaders, openSocket, openSocketOrFail } from "../helpers.ts";
import { type AppServer, raw, signIn, startApps } from "./helpers.ts";

async function echo(apps: AppServer): Promise<void> {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true, maxPayload: 32 * 1024 * 1024 });
  const program = await apps.program(8080, (_request, response) => response.end("plain"));
  program.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.send(`${request.url} ${request.headers.cookie ?? ""}`);
      webSocket.on("message", (data, binary) => webSocket.send(data, { binary }));
    });
  });
}

test("messages of any size, compressed, pass in both directions, as does the close with its code", async () => {
  await using apps = await startApps();
  await echo(apps);
  const socket = new WebSocket(`ws://127.0.0.1:${apps.test.port}/chat?a=1`, ["chat"], {
    headers: { Host: apps.host(8080), "Coder-Session-Token": apps.ada.token },
    perMessageDeflate: true,
    maxPayload: 32 * 1024 * 1024,
  });
  const [hello] = (await once(socket, "message")) as [Buffer];
  expect(hello.toString()).toBe("/chat?a=1 ");
  expect([socket.protocol, socket.extensions]).toEqual(["chat", expect.stringContaining("permessage-deflate")]);
  const large = randomBytes(16 * 1024 * 1024);
  socket.send(large);
  const [back] = (await once(socket, "message")) as [Buffer];
  expect(back.equals(large)).toBe(true);
  socket.close(4001, "done");
  expect((await once(socket, "close"))[0]).toBe(4001);
});

test("a WebSocket stays below Node's limit of listeners", async () => {
  const warnings: Error[] = [];
  const note = (warning: Error): void => void warnings.push(warning);
  process.on("warning", note);
  try {
    await using apps = await startApps();
    await echo(apps);
    const headers = { Host: apps.host(8080), "Coder-Session-Token": apps.ada.token };
    const reader = await openSocketOrFail(apps.test.url, "/", headers);
    expect(await reader.next()).toBe("/ ");
    reader.socket.terminate();
    await once(reader.socket, "close");
  } finally {
    process.off("warning", note);
  }
  expect(warnings.filter(({ name }) => name === "MaxListenersExceededWarning")).toEqual([]);
});

test("security S8: a WebSocket with a session needs an origin of the same owner", async () => {
  await using apps = await startApps();
  await echo(apps);
  const host = apps.host(8080);
  const cookie = await signIn(apps, host, apps.ada.token);
  const headers = (origin?: string): Record<string, string> =>
    givenHeaders({ Host: host, Cookie: cookie, Origin: origin });
  for (const origin of [`http://${host}`, `http://${apps.host(3000)}`]) {
    const reader = await openSocketOrFail(apps.test.url, "/", headers(origin));
    expect(await reader.next()).toBe("/ ");
    reader.socket.terminate();
  }
  const foreign = [undefined, "null", "http://evil.example", `https://${host}`, `http://127.0.0.1:${apps.test.port}`];
  for (const origin of [...foreign, `http://8080--main--x--bob.coder.localhost:${apps.test.port}`]) {
    expect([origin, await openSocket(apps.test.url, "/", headers(origin))]).toEqual([
      origin,
      expect.objectContaining({ status: 401 }),
    ]);
  }
});

test("a program's refusal of a WebSocket is passed on, and its connection ends", async () => {
  await using apps = await startApps();
  const program = await apps.program(8080, (_request, response) => response.end());
  program.on("upgrade", (_request, socket) =>
    socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nno"),
  );
  const refused = await openSocket(apps.test.url, "/", {
    Host: apps.host(8080),
    "Coder-Session-Token": apps.ada.token,
  });
  expect(refused).toEqual({ status: 403, text: "no" });
});

test("security S15: only a valid handshake lets bytes pass", async () => {
  await using apps = await startApps();
  let answer = "";
  let received = "";
  await apps.listen(
    8080,
    createNetServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        if (received === "") socket.write(answer);
        received += String(data);
      });
    }),
  );
  const request = (more = "", upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"): string =>
    `GET /socket HTTP/1.1\r\nHost: ${apps.host(8080)}\r\nCoder-Session-Token: ${apps.ada.token}\r\n${upgrade}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${more}\r\n`;
  const genuine = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
  const fakes = [
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n${genuine}\r\n`,
    "SSH-2.0-OpenSSH\r\n",
  ];
  const second = "GET /api/v2/users/me HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (answer of fakes) {
    received = "";
    const reply = await raw(apps.test.port, request() + second);
    expect([answer, reply.split(" ")[1]]).toEqual([answer, "502"]);
    expect(received).not.toContain("users/me");
  }
  // With a body it is not an upgrade at all.
  for (const more of ["Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"]) {
    received = "";
    const reply = await raw(apps.test.port, `${request(more)}0\r\n\r\n`);
    expect([reply.split(" ")[1], received]).toEqual(["400", ""]);
  }
  // After a valid handshake every byte goes to the program, even what looks like a request to the server.
  answer = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${genuine}\r\n`;
  received = "";
  const socket = raw(apps.test.port, request() + second);
  await expect.poll(() => received).toContain("GET /api/v2/users/me HTTP/1.1\r\nHost: localhost");
  await apps.test.server.close();
  expect(await socket).not.toContain("username");
});

test("security S15: any other upgrade is ignored, and the request is served without it", async () => {
  await using apps = await startApps();
  const seen: string[][] = [];
  const program = await apps.program(8080, (request, response) => {
    seen.push(request.rawHeaders);
    response.end("plain");
  });
  program.on("upgrade", (_request, socket) => socket.destroy());
  for (const upgrade of ["h2c", "websocket, h2c", "tcp", "TLS/1.2", "derp"]) {
    const answer = await raw(
      apps.test.port,
      `GET / HTTP/1.1\r\nHost: ${apps.host(8080)}\r\nCoder-Session-Token: ${apps.ada.token}\r\nConnection: Upgrade, close, HTTP2-Settings\r\nUpgrade: ${upgrade}\r\nHTTP2-Settings: AAMA\r\n\r\n`,
    );
    expect([upgrade, answer.split(" ")[1]]).toEqual([upgrade, "200"]);
  }
  expect(seen.flat().map((text) => text.toLowerCase())).not.toContain("upgrade");
  expect(seen.flat().map((text) => text.toLowerCase())).not.toContain("http2-settings");
});
