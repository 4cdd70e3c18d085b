/** Only the control plane itself ends an agent permanently, never an intermediary. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Deployment } from "coder-client/rest/deployment";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { LogLevel } from "wg-userspace/base/ports";
import { ControlSession } from "./control-session.ts";

const OURS = { "X-Coder-Build-Version": "v2.26.0", "Content-Type": "application/json" };
const HTML = { "Content-Type": "text/html", Server: "lb" };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** An agent whose every dial gets this response. */
async function agentAnswered(status: number, headers: Readonly<Record<string, string>>, body: string) {
  let dials = 0;
  const server = createServer();
  server.on("upgrade", (_request, socket) => {
    socket.on("error", () => undefined); // the agent may be gone before it read the answer
    dials++;
    const lines = Object.entries({ ...headers, "Content-Length": String(Buffer.byteLength(body)) });
    socket.end(
      `HTTP/1.1 ${status} X\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}Connection: close\r\n\r\n${body}`,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const log: [LogLevel, string][] = [];
  const deployment = new Deployment({ url: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`) });
  const session = new ControlSession({
    deployment,
    token: "t",
    version: "0",
    logger: { level: "debug", log: (level, _message, fields) => void log.push([level, String(fields?.["error"])]) },
    onManifest: () => Promise.reject(new Error("there is none")),
    onBanners: () => undefined,
    expandDirectory: (directory) => directory,
    takeStats: () => {
      throw new Error("not called");
    },
    reports: { unsent: false, send: () => [] },
    redialLimitMs: 10,
  });
  const stop = new AbortController();
  const running = session.run(stop.signal);
  running.catch(() => undefined);
  cleanups.push(async () => {
    stop.abort();
    await running.catch(() => undefined);
    deployment.dialer.close();
    server.close();
  });
  return { running, dials: () => dials, log };
}

describe("an agent whose first call is answered", () => {
  it.each([
    [400, '{"message":"Unknown or unsupported API version"}'],
    [401, '{"message":"Workspace agent not authorized."}'],
    [404, '{"message":"Route not found."}'],
  ])("by the control plane with %d ends, with its words", async (status, body) => {
    const { running } = await agentAnswered(status, OURS, body);
    await expect(running).rejects.toMatchObject({ status, message: (JSON.parse(body) as { message: string }).message });
  });

  it.each([
    [404, HTML, "<title>default backend</title>", 'it was 404 Not Found from "lb", with a page "default backend"'],
    [401, HTML, "<h1>Sign in</h1>", 'it was 401 Unauthorized from "lb", with a page "Sign in"'],
    [302, { Location: "http://portal.test/" }, "", "a redirect to portal.test"],
    [200, HTML, "<title>Under maintenance</title>", 'it was 200 OK from "lb", with a page "Under maintenance"'],
    [403, HTML, "", "it was 403 Forbidden"],
    [503, HTML, "", "it was 503 Service Unavailable"],
    [426, HTML, "", 'something on the way removes the "Upgrade" header'],
    [426, OURS, '{"message":"This path takes WebSockets only."}', 'something on the way removes the "Upgrade" header'],
    [307, { ...OURS, Location: "https://coder.test/" }, "", "it redirects to https://coder.test/"],
    [500, OURS, '{"message":"An internal server error occurred."}', "An internal server error occurred."],
    [401, { ...OURS, "Retry-After": "1" }, '{"message":"The workspace is stopped"}', "The workspace is stopped"],
  ])(
    "with %d by something else, or for the time being, goes on, with one warning",
    async (status, headers, body, words) => {
      const { dials, log } = await agentAnswered(status, headers, body);
      await vi.waitFor(() => expect(dials()).toBeGreaterThanOrEqual(4), { timeout: 60_000 });
      const warnings = log.filter(([level]) => level === "warn").map(([, error]) => error);
      expect(warnings).toEqual([expect.stringContaining(words)]);
    },
  );
});
