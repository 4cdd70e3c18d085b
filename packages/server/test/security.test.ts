/** Security statements about HTTP, each by its number. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { firstUser, send, startServer } from "./helpers.ts";

const api = "/api/v2";

/** Sends the path unchanged, because URL parsers of clients would normalize it first. */
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
