import { request } from "node:http";
import { expect, it } from "vitest";
import type { Logger } from "wg-userspace/base/ports";
import { DebugServers } from "./servers.ts";

const sources = {
  logs: () => "line\n",
  magicsock: () => ({ peers: [] }),
  manifest: () => null,
  prometheus: () => "metric 1\n",
};

function get(port: number, path: string, host: string, method = "GET"): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    request({ host: "127.0.0.1", port, path, method, headers: { Host: host }, agent: false }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += String(chunk);
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    })
      .on("error", reject)
      .end();
  });
}

class Lines implements Logger {
  readonly level = "info";
  readonly lines: string[] = [];
  log(level: string, message: string): void {
    this.lines.push(`${level} ${message}`);
  }
}

it("security 15: serves each kind on its own address, for loopback names only", async () => {
  const addresses = { debugAddress: "127.0.0.1:0", prometheusAddress: ":0", logger: new Lines() };
  const servers = await DebugServers.open(addresses, sources);
  try {
    const [debug, metrics] = servers.ports as [number, number];
    expect(await get(debug, "/debug/logs", `127.0.0.1:${debug}`)).toEqual({ status: 200, text: "line\n" });
    expect(await get(debug, "/debug/manifest?x=1", "localhost")).toEqual({ status: 200, text: "null" });
    expect(await get(debug, "/debug/magicsock", "[::1]:9")).toMatchObject({ status: 200 });
    expect(await get(metrics, "/metrics", `localhost:${metrics}`)).toEqual({ status: 200, text: "metric 1\n" });
    expect(await get(metrics, "/debug/logs", "localhost")).toMatchObject({ status: 404 });
    expect(await get(debug, "/debug/logs", "evil.example")).toMatchObject({ status: 403 });
    expect(await get(debug, "/debug/logs", "localhost", "POST")).toMatchObject({ status: 405 });
  } finally {
    servers.close();
  }
});

it("serves nothing unless asked, and an unusable address is logged, not fatal", async () => {
  const logger = new Lines();
  expect((await DebugServers.open({ logger }, sources)).ports).toEqual([]);
  expect(logger.lines).toEqual([]);
  const bad = await DebugServers.open({ debugAddress: "2113", prometheusAddress: "127.0.0.1:99999", logger }, sources);
  expect(bad.ports).toEqual([]);
  expect(logger.lines).toEqual([
    "error debug pages are not served: the address must be host:port",
    "error metrics are not served: the address must be host:port",
  ]);
});
