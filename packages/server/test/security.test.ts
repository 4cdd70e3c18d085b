/** Statements of the security list about the HTTP side, each by its number. */
import { connect } from "node:net";
import { BUILD_VERSION_HEADER, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { addWorkspace, firstUser, openSocketOrFail, send, startServer } from "./helpers.ts";

const api = "/api/v2";

/** Sends the path as it is: URL parsers of clients would clean it first. */
function rawGet(port: number, path: string): Promise<{ status: number; head: string; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`),
    );
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", reject);
    socket.on("close", () => {
      const [head = "", body = ""] = text.split("\r\n\r\n");
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]), head: head.toLowerCase(), body });
    });
  });
}

test("security 35: no path leads to a file, however it is encoded, and every answer carries nosniff", async () => {
  await using at = await startServer();
  await firstUser(at.url);
  const files = ["etc/passwd", "keys.json", "proc/self/environ"];
  const ways = [
    (file: string) => `/../../../../${file}`,
    (file: string) => `/bin/../../../${file}`,
    (file: string) => `/%2e%2e/%2e%2e/%2e%2e/${file}`,
    (file: string) => `/..%2f..%2f..%2f${file.replaceAll("/", "%2f")}`,
    (file: string) => `/%252e%252e%252f${file}`,
    (file: string) => `/..%5c..%5c${file}`,
    (file: string) => `//${file}`,
    (file: string) => `/%2f${file}`,
    (file: string) => `/icon/${file}%00.svg`,
    (file: string) => `/install.sh/../${file}`,
    (file: string) => `/api/v2/init-script/linux/../../../${file}`,
  ];
  for (const way of ways) {
    for (const file of files) {
      const answer = await rawGet(at.port, way(file));
      expect([way(file), answer.status]).toEqual([way(file), 404]);
      expect(answer.head).toContain("x-content-type-options: nosniff");
      expect(answer.body).not.toMatch(/root:|agent_token|PATH=/);
    }
  }
  for (const download of [
    "/bin/SHA256SUMS",
    "/bin/coder-linux-amd64",
    "/install.sh",
    "/install.ps1",
    `${api}/init-script/linux/amd64`,
    "/healthz",
  ]) {
    expect((await send(at.url, "GET", download)).headers["x-content-type-options"]).toBe("nosniff");
  }
});

test("security 40: a WebSocket message over the limit ends its socket, on every kind of socket, and nothing else", async () => {
  await using at = await startServer({
    flags: { "stun-address": "disable", "derp-server-stun-addresses": "disable" },
  });
  const { token } = await firstUser(at.url);
  const workspace = await addWorkspace(at.url, token, "dev");
  const agentId = workspace.latest_build.resources[0].agents[0].id;
  const headers = { [SESSION_TOKEN_HEADER]: token };
  const sockets: [string, number][] = [
    [`${api}/workspaces/${workspace.id}/watch-ws`, 64 * 1024 + 1],
    [`${api}/workspaceagents/${agentId}/logs?follow`, 64 * 1024 + 1],
    [`${api}/notifications/inbox/watch`, 64 * 1024 + 1],
    [`${api}/debug/ws`, 64 * 1024 + 1],
    [`${api}/workspaceagents/${agentId}/coordinate?version=2.0`, 8 * 1024 * 1024 + 1],
    [`${api}/derp-map`, 8 * 1024 * 1024 + 1],
  ];
  for (const [path, bytes] of sockets) {
    const reader = await openSocketOrFail(at.url, path, headers);
    reader.socket.on("error", () => undefined); // the reset that follows a close in the middle of a message
    reader.socket.send(Buffer.alloc(bytes));
    // 1009: too big. 1006 when the reset overtakes the server's close frame.
    expect([path, [1009, 1006].includes(await reader.closed)]).toEqual([path, true]);
  }
  expect((await send(at.url, "GET", "/healthz")).headers[BUILD_VERSION_HEADER.toLowerCase()]).toBeDefined();
});
