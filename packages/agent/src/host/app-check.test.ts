import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { isServing } from "./app-check.ts";

async function asked(listener: RequestListener, host = "127.0.0.1"): Promise<boolean> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  try {
    return await isServing(`http://${host.includes(":") ? `[${host}]` : host}:${port}/up`, AbortSignal.timeout(10_000));
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test.each([
  [200, true],
  [302, true],
  [404, true],
  [499, true],
  [500, false],
  [503, false],
])("an answer %i: %s", async (status, serves) => {
  let requests = 0;
  const found = await asked((_request, response) => {
    requests++;
    response.writeHead(status, { Location: "/elsewhere" }).end();
  });
  expect([found, requests]).toEqual([serves, 1]);
});

test("a body without an end is not waited for, and a program on ::1 is found", async () => {
  expect(await asked((_request, response) => response.writeHead(200).write("x"))).toBe(true);
  expect(await asked((_request, response) => response.end(), "::1")).toBe(true);
});

test("nothing that listens, no answer in time, and another machine do not serve", async () => {
  expect(await isServing("http://127.0.0.1:9/", AbortSignal.timeout(10_000))).toBe(false);
  expect(await isServing("http://127.0.0.1:9/", AbortSignal.abort())).toBe(false);
  expect(await isServing("http://10.255.255.1/", AbortSignal.timeout(10_000))).toBe(false);
  const silent = createServer(() => undefined);
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const { port } = silent.address() as AddressInfo;
  expect(await isServing(`http://127.0.0.1:${port}/`, AbortSignal.timeout(50))).toBe(false);
  silent.close();
});
