/** What reaches the agent when the right to a terminal ends, tested with real WebSockets. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { WebSocket } from "ws";
import { OpenStreams } from "../../base/open-streams.ts";
import type { PtyQuery } from "./pty-query.ts";
import { type AdmittedTerminal, TerminalSockets, type TerminalSocketsOptions } from "./terminal-sockets.ts";

const QUERY: PtyQuery = {
  id: "0b7f6e57-5f4c-4a55-8f3d-6b4f4d1c2a10",
  rows: 24,
  columns: 80,
  command: "top",
  container: "",
  containerUser: "",
  backend: "",
  keepSeconds: 86_400,
  control: false,
  readOnly: false,
};

/** The agent's end of a terminal. */
class AgentEnd extends Duplex {
  got = "";
  readonly #first = Promise.withResolvers<void>();
  /** Resolves when something has been written. */
  readonly first = this.#first.promise;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.got += chunk.toString("latin1");
    this.#first.resolve();
    done();
  }
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** @param before Awaited before the agent answers. */
async function terminal(before: { dial?: Promise<void>; acquire?: Promise<void> } = {}) {
  const agent = new AgentEnd();
  const dialled = Promise.withResolvers<void>();
  const acquiring = Promise.withResolvers<void>();
  let dials = 0;
  const connection = {
    path: undefined,
    onPathChange: () => () => undefined,
    dial: async () => {
      dials++;
      dialled.resolve();
      await before.dial;
      return agent;
    },
  };
  const released = Promise.withResolvers<void>();
  const tunnels = {
    acquire: async () => {
      acquiring.resolve();
      await before.acquire;
      return { connection, release: () => released.resolve() };
    },
  };
  const sockets = new TerminalSockets({
    tunnels,
    agentHttp: {},
    streams: new OpenStreams(),
    log: { info: () => undefined },
  } as unknown as TerminalSocketsOptions);
  const ended = Promise.withResolvers<(reason: string) => void>();
  const admitted: AdmittedTerminal = {
    query: QUERY,
    user: { id: "u", username: "ada" },
    request: { agentId: "a", keyId: "k", token: "" },
    fresh: true,
    watch: (end) => {
      ended.resolve(end);
      return () => undefined;
    },
  };
  const server = createServer().on("upgrade", (request, socket, head) => sockets.open(request, socket, head, admitted));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const page = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  cleanups.push(() => {
    page.terminate();
    server.close();
  });
  page.on("error", () => undefined);
  await once(page, "open");
  return {
    page,
    agent,
    end: await ended.promise,
    dialled: dialled.promise,
    acquiring: acquiring.promise,
    released: released.promise,
    dials: () => dials,
  };
}

test("security R10: a page that does not answer the close frame sends nothing more to the agent", async () => {
  const on = await terminal();
  await on.agent.first;
  on.page.pause(); // it reads no close frame, so it answers none
  on.end("access ended");
  const closed = once(on.page, "close");
  on.page.send("rm -rf ~");
  await on.released;
  expect(on.agent.destroyed).toBe(true);
  expect(on.agent.got).not.toContain("rm -rf");
  on.page.resume();
  await closed;
});

test("security R10: a right that ends while the agent is dialled starts no program", async () => {
  const { promise: dial, resolve: answer } = Promise.withResolvers<void>();
  const on = await terminal({ dial });
  await on.dialled;
  on.end("access ended");
  answer();
  await on.released;
  expect([on.agent.got, on.agent.destroyed]).toEqual(["", true]);
});

test("security R10: a right that ends before there is a tunnel dials nothing", async () => {
  const { promise: acquire, resolve: answer } = Promise.withResolvers<void>();
  const on = await terminal({ acquire });
  await on.acquiring;
  on.end("access ended");
  answer();
  await on.released;
  expect(on.dials()).toBe(0);
});
