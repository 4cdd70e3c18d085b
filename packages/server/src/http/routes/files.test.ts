import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { DomainError } from "../../base/domain-error.ts";
import { HttpFailure } from "../failure.ts";
import { type FileRoutesDeps, fileRoute } from "./files.ts";

const URL_PATH = "/api/v2/workspaceagents/6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11/files?path=/tmp/a";

beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => void vi.useRealTimers());

const signedIn = async () => ({ user: { id: "ada" }, key: { id: "k" }, token: "t" });

function route({
  authenticateUser = signedIn,
  answer = { status: 201, text: "{}" },
  check = async () => answer,
}: {
  authenticateUser?: () => Promise<unknown>;
  answer?: { status: number; text: string };
  check?: () => Promise<{ status: number; text: string } | undefined>;
} = {}) {
  return fileRoute({
    authenticator: { authenticateUser, canReachAgent: async () => ({}) },
    files: { upload: async () => answer, download: async () => answer, check },
    maxUploadBytes: 100,
    limits: { total: 1 },
    clientAddress: () => "192.0.2.1",
    log: { info: () => undefined },
  } as unknown as FileRoutesDeps);
}

function exchange(method = "PUT") {
  const facts = { url: URL_PATH, method, headers: {}, httpVersion: "1.1" };
  const request = Object.assign(new PassThrough(), facts) as unknown as IncomingMessage & PassThrough;
  const response = Object.assign(new PassThrough(), {
    setHeader: () => undefined,
    writeHead: () => response,
  }) as unknown as ServerResponse & PassThrough;
  return { request, response };
}

test("a client that leaves while its rights are being looked up keeps no place", async () => {
  const files = route();
  const gone = exchange();
  gone.response.destroy();
  await files.handle(gone.request, gone.response);
  const next = exchange();
  await files.handle(next.request, next.response);
  const third = exchange();
  await expect(files.handle(third.request, third.response)).rejects.toThrow("Too many open file transfers");
});

test("reading the rest of a refused body is limited in time", async () => {
  const files = route({ authenticateUser: async () => new DomainError("unauthenticated", "no") });
  const { request, response } = exchange();
  await expect(files.handle(request, response)).rejects.toThrow("no");
  for (let second = 0; second < 60; second++) {
    expect(request.destroyed).toBe(false);
    request.write("x");
    await vi.advanceTimersByTimeAsync(1_000);
  }
  expect(request.destroyed).toBe(true);
  const complete = exchange();
  await expect(files.handle(complete.request, complete.response)).rejects.toThrow("no");
  complete.request.end();
  await vi.waitFor(() => expect(vi.getTimerCount()).toBe(0));
});

test("an upload may take any time, and a download's body may not", () => {
  expect(route().slowBodies).toEqual(["PUT"]);
});

test("a download gets the place that its check released, even if it is the last one", async () => {
  const files = route({ check: async () => undefined, answer: { status: 404, text: '{"message":"gone since"}' } });
  const server = createServer((request, response) => {
    Promise.resolve(files.handle(request, response)).catch(({ message }: Error) => {
      response.writeHead(500).end(message);
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${URL_PATH}`;
  try {
    for (let round = 0; round < 20; round++) {
      const checked = await fetch(`${url}&check=true`);
      expect([checked.status, await checked.text()]).toEqual([204, ""]);
      expect(await (await fetch(url)).text()).toBe("gone since");
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
});

test.each(["PUT", "GET"])(
  "an agent without file routes and a file that is missing have different answers (%s)",
  async (method) => {
    const ask = async (status: number, text: string): Promise<unknown> => {
      const { request, response } = exchange(method);
      return await Promise.resolve(route({ answer: { status, text } }).handle(request, response)).catch(
        (error: unknown) => error instanceof HttpFailure && [error.status, error.message],
      );
    };
    const without = [501, "This workspace's agent takes no files"];
    expect(await ask(404, "404 page not found\n")).toEqual(without);
    expect(await ask(404, '{"message":"Route not found."}')).toEqual(without);
    expect(await ask(405, "")).toEqual(without);
    const missing = "There is no such file or directory.";
    expect(await ask(404, JSON.stringify({ message: missing }))).toEqual([404, missing]);
  },
);
