/** A server that accepts the control connection, keeps it alive, and does not answer the calls. In virtual time. */
import type { RpcConnection } from "coder-client/control/rpc-connection";
import { Deployment } from "coder-client/rest/deployment";
import type { RpcSession } from "coder-protocol/drpc/async";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { ControlSession } from "./control-session.ts";

const dialled = vi.hoisted(() => ({ connections: [] as { readonly calls: string[]; closed: boolean }[], silent: "" }));

vi.mock("coder-client/control/rpc-connection", () => ({
  dialRpc: (): Promise<RpcConnection> => {
    const connection = { calls: [] as string[], closed: false };
    dialled.connections.push(connection);
    const unary = (
      method: { readonly name: string },
      _request: unknown,
      options?: { readonly signal?: AbortSignal },
    ) => {
      connection.calls.push(method.name);
      if (method.name !== dialled.silent) return Promise.resolve({ directory: "" });
      return new Promise((_, reject) => {
        options?.signal?.addEventListener("abort", () => reject(options.signal?.reason));
      });
    };
    return Promise.resolve({
      rpc: { unary } as unknown as RpcSession,
      closed: new Promise(() => undefined),
      close: () => {
        connection.closed = true;
        return Promise.resolve();
      },
      abandon: () => undefined,
    });
  },
}));

/** The limit of the pauses, and without a spread also their length. */
const REDIAL_MS = 100;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  dialled.connections.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function agentOf(silent: string) {
  dialled.silent = silent;
  const warnings: string[] = [];
  const session = new ControlSession({
    deployment: new Deployment({ url: new URL("http://coder.example.com") }),
    token: "t",
    version: "0",
    logger: {
      level: "debug",
      log: (level, _message, fields) => {
        if (level === "warn") warnings.push(String(fields?.["error"]));
      },
    },
    onManifest: () => Promise.resolve({ doubt: () => undefined, coordinationLost: () => undefined } as never),
    onBanners: () => undefined,
    expandDirectory: (directory) => directory,
    takeStats: () => {
      throw new Error("not called");
    },
    reports: { unsent: false, send: () => [] },
    redialLimitMs: REDIAL_MS,
  });
  const stop = new AbortController();
  return { warnings, stop, running: session.run(stop.signal) };
}

it.each([
  ["GetManifest", ["GetManifest"]],
  ["UpdateStartup", ["GetManifest", "UpdateStartup"]],
])("an agent whose %s is not answered dials again after a minute, and says why once", async (silent, calls) => {
  const { connections } = dialled;
  const { warnings, stop, running } = agentOf(silent);
  await vi.advanceTimersByTimeAsync(59_999);
  expect([connections, warnings]).toEqual([[{ calls, closed: false }], []]);
  await vi.advanceTimersByTimeAsync(1);
  expect([connections, warnings]).toEqual([[{ calls, closed: true }], [`${silent} was not answered within 60 s`]]);
  for (const count of [2, 3, 4]) {
    await vi.advanceTimersByTimeAsync(REDIAL_MS);
    expect(connections.length).toBe(count);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(connections.map(({ closed }) => closed)).toEqual(Array(count).fill(true));
  }
  expect(warnings.length).toBe(1);
  stop.abort();
  await running;
});

it("an agent that is stopped does not wait for the answer", async () => {
  const { stop, running } = agentOf("GetManifest");
  await vi.advanceTimersByTimeAsync(1_000);
  stop.abort();
  await running;
  expect(dialled.connections).toEqual([{ calls: ["GetManifest"], closed: true }]);
});
