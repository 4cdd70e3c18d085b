/** An unsupported `Upgrade` is ignored (RFC 9110 §7.8): HTTP clients offer h2c with an ordinary request. */
import { connect } from "node:net";
import { SESSION_TOKEN_COOKIE } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { firstUser, PASSWORD, startServer } from "./helpers.ts";

/** Sends the first request, then each next one when an answer has arrived, and reads until the server closes. */
function raw(port: number, ...requests: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(requests.shift() ?? ""));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString("latin1");
      const next = requests.shift();
      if (next !== undefined) socket.write(next);
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

const H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";

function request(line: string, port: number, headers: string, body = ""): string {
  const length = body === "" ? "" : `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`;
  return `${line} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${headers}${length}\r\n${body}`;
}

test.each([
  ["h2c of curl and Java", H2C],
  ["an unknown protocol", "Connection: Upgrade\r\nUpgrade: TLS/1.0, gopher\r\n"],
  ["a WebSocket where there is none", "Connection: Upgrade\r\nUpgrade: websocket\r\n"],
])("%s: the request is served without an upgrade, and so is the next one on the connection", async (_name, headers) => {
  await using at = await startServer();
  const first = request("GET /api/v2/buildinfo", at.port, headers);
  const second = request("GET /healthz", at.port, "Connection: close\r\n");
  const answer = await raw(at.port, first, second);
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(answer).toContain('"agent_api_version"');
  expect(answer).toMatch(/HTTP\/1\.1 200 OK\r\n.*HTTP\/1\.1 200 OK\r\n.*OK$/s);
});

test("a body that accompanies the offer is read", async () => {
  await using at = await startServer();
  const body = JSON.stringify({ email: "ada@example.com", username: "ada", password: PASSWORD });
  const create = request("POST /api/v2/users/first", at.port, H2C, body);
  const answer = await raw(at.port, create, request("GET /healthz", at.port, "Connection: close\r\n"));
  expect(answer).toMatch(/^HTTP\/1\.1 201 /);
});

test("an unknown path stays 404, and a WebSocket path still accepts WebSocket", async () => {
  await using at = await startServer({});
  const close = (headers: string) => headers.replace("Connection: ", "Connection: close, ");
  expect(await raw(at.port, request("GET /api/v2/nosuch", at.port, close(H2C)))).toMatch(/^HTTP\/1\.1 404 /);
  // The relay is an upgrade; protocols that it does not support are not.
  expect(await raw(at.port, request("GET /derp", at.port, close(H2C)))).toMatch(/^HTTP\/1\.1 426 /);
  expect(
    await raw(at.port, request("GET /api/v2/tailnet", at.port, "Connection: Upgrade\r\nUpgrade: WebSocket\r\n")),
  ).toMatch(/^HTTP\/1\.1 401 /);
});

test.each([
  ["h2c", "Connection: Upgrade, close\r\nUpgrade: h2c\r\n"],
  ["a WebSocket", "Connection: Upgrade, close\r\nUpgrade: websocket\r\n"],
])("security 5: a token in the query is not accepted if an offer of %s is ignored", async (_name, headers) => {
  await using at = await startServer();
  const { token } = await firstUser(at.url);
  for (const name of [SESSION_TOKEN_COOKIE, "access_token"]) {
    for (const line of ["GET /api/v2/users/me", "POST /api/v2/users/me/keys"]) {
      const answer = await raw(at.port, request(`${line}?${name}=${token}`, at.port, headers));
      expect(answer).toMatch(/^HTTP\/1\.1 401 /);
    }
  }
  expect(
    await raw(at.port, request("GET /api/v2/users/me", at.port, `${headers}Coder-Session-Token: ${token}\r\n`)),
  ).toMatch(/^HTTP\/1\.1 200 /);
});
