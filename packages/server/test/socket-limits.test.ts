/** Every WebSocket of the server: the maximum length of a message, and the limits on their number. */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { WebSocket } from "ws";
import type { HttpLimits } from "../src/http/limits.ts";
import { agentToken, openSocket, openSocketOrFail, PASSWORD, send } from "./helpers.ts";
import { type Scene, SOCKETS, scene, terminal } from "./sockets.ts";

const TOO_LARGE = 1009;

test.each(SOCKETS)(
  "security 40: %s accepts a message of %i bytes, and is closed by the first byte of a longer one",
  async (_name, longest, open) => {
    await using at = await scene();
    const [path, headers] = await open(at);
    const connect = async () => {
      const reader = await openSocketOrFail(at.url, `/api/v2${path}`, headers);
      reader.socket.on("error", () => undefined);
      return reader;
    };
    // A message of zeros may be invalid and end its socket, but not because of its length.
    const taken = await connect();
    const answered = new Promise<string>((resolve) => taken.socket.once("pong", () => resolve("pong")));
    taken.socket.send(Buffer.alloc(longest));
    taken.socket.ping();
    expect(await Promise.race([answered, taken.closed])).not.toBe(TOO_LARGE);
    const reader = await connect();
    // The head of a masked frame that announces one byte more; nothing of the payload follows.
    const head = Buffer.alloc(14);
    head[0] = 0x82;
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(longest + 1), 2);
    (reader.socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(head);
    expect(await reader.closed).toBe(TOO_LARGE);
    expect((await send(at.url, "GET", "/healthz")).status).toBe(200);
  },
);

test("security 40: a terminal accepts a message of 1 MiB, and is closed by the first byte of a longer one", async () => {
  for (const [length, isTaken] of [
    [1024 * 1024, true],
    [1024 * 1024 + 1, false],
  ] as const) {
    await using at = await terminal();
    const socket = new WebSocket(at.url);
    socket.on("error", () => undefined);
    const closed = new Promise<number>((resolve) => socket.once("close", resolve));
    await once(socket, "open");
    await at.dialled;
    const answered = new Promise<string>((resolve) => socket.once("pong", () => resolve("pong")));
    socket.send(Buffer.alloc(length, " "));
    socket.ping();
    expect(await Promise.race([answered, closed])).toBe(isTaken ? "pong" : TOO_LARGE);
    socket.terminate();
    await closed;
  }
});

test("followers of the relay map may send nothing but a close, and are limited per address", async () => {
  await using at = await scene({ mapSockets: { total: 4, perAddress: 2 } });
  const follow = (from: string) => openSocket(at.url, "/api/v2/derp-map", { "X-Forwarded-For": from });
  const first = await openSocketOrFail(at.url, "/api/v2/derp-map", { "X-Forwarded-For": "2001:db8::1" });
  expect(JSON.parse((await first.next())!)).toHaveProperty("Regions");
  await openSocketOrFail(at.url, "/api/v2/derp-map", { "X-Forwarded-For": "2001:db8::2" });
  expect(await follow("2001:db8::3")).toMatchObject({ status: 429 });
  await openSocketOrFail(at.url, "/api/v2/derp-map", { "X-Forwarded-For": "192.0.2.7" });
  first.socket.send("hello");
  expect(await first.closed).toBe(1002);
  expect("reader" in (await follow("2001:db8::3"))).toBe(true);
});

const SHARES: [name: keyof HttpLimits, path: (at: Scene, whose: "workspace" | "bobs") => string, isAgents?: boolean][] =
  [
    ["webSockets", (at, whose) => `/workspaces/${at[whose].id}/watch-ws`],
    ["terminals", (at, whose) => `/workspaceagents/${at.agentOf(at[whose])}/pty?reconnect=${crypto.randomUUID()}`],
    ["clientSockets", () => "/tailnet?version=2.0"],
    ["agentSockets", () => "/workspaceagents/me/rpc?version=2.0", true],
  ];

test.each(SHARES)("one user has a share of %s, and others have theirs", async (name, path, isAgents) => {
  await using at = await scene({ [name]: { total: 10, perUser: 2 } });
  const bobs = await agentToken(at.url, at.bob.token, at.bobs.id);
  const of = (whose: "workspace" | "bobs") => {
    if (isAgents === true) return at.as(whose === "workspace" ? at.agents : bobs);
    return at.as(whose === "workspace" ? at.ada.token : at.bob.token);
  };
  const open = (whose: "workspace" | "bobs") => openSocket(at.url, `/api/v2${path(at, whose)}`, of(whose));
  const first = await open("workspace");
  await open("workspace");
  expect(await open("workspace")).toMatchObject({ status: 429, text: expect.stringContaining("from this account") });
  expect("reader" in (await open("bobs"))).toBe(true);
  if (!("reader" in first)) throw new Error("the first was refused");
  first.reader.socket.terminate();
  await expect.poll(async () => "reader" in (await open("workspace"))).toBe(true);
});

test("one workspace has a share of terminals, and others have theirs", async () => {
  await using at = await scene({ terminals: { total: 10, perWorkspace: 1 } });
  const open = (whose: "workspace" | "bobs", token: string) => {
    const path = `/api/v2/workspaceagents/${at.agentOf(at[whose])}/pty?reconnect=${crypto.randomUUID()}`;
    return openSocket(at.url, path, at.as(token));
  };
  const first = await open("bobs", at.bob.token);
  expect(await open("bobs", at.ada.token)).toMatchObject({
    status: 429,
    text: expect.stringContaining("Too many open terminals of this workspace, at most 1."),
  });
  expect("reader" in (await open("workspace", at.ada.token))).toBe(true);
  if (!("reader" in first)) throw new Error("the first was refused");
  first.reader.socket.terminate();
  await expect.poll(async () => "reader" in (await open("bobs", at.ada.token))).toBe(true);
});

test("one token opens few control connections at a time", async () => {
  await using at = await scene();
  const open = () => openSocket(at.url, "/api/v2/workspaceagents/me/rpc?version=2.0", at.as(at.agents));
  const answers = await Promise.all(Array.from({ length: 8 }, open));
  expect(
    answers.filter((answer) => "status" in answer && (answer.status === 429 || answer.status === 409)),
  ).not.toEqual([]);
});

/** A request whose body never arrives; resolves with what is answered until the connection ends. */
function slowRequest(port: number, from: string) {
  const socket = connect(port, "127.0.0.1", () =>
    socket.write(
      `POST /api/v2/users/login HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nX-Forwarded-For: ${from}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    ),
  );
  let answer = "";
  socket.on("data", (chunk) => {
    answer += chunk.toString("latin1");
  });
  socket.on("error", () => undefined); // "close" follows
  return { socket, ended: new Promise<string>((resolve) => socket.once("close", () => resolve(answer))) };
}

test("security 40: slow requests of a few addresses do not keep others out, logged in or not", async () => {
  await using at = await scene({ requests: { total: 6, perUser: 100, perAddress: 3 } });
  const slow = [1, 1, 1, 2, 2, 2].map((source) => slowRequest(at.port, `192.0.2.${source}`));
  const ask = async (path: string, headers: Record<string, string>) =>
    (await send(at.url, "GET", `/api/v2${path}`, { headers })).status;
  // A refusal shows that all three places of the address are taken.
  for (const from of ["192.0.2.1", "192.0.2.2"])
    await expect.poll(() => ask("/buildinfo", { "X-Forwarded-For": from })).toBe(429);
  expect(await ask("/buildinfo", { "X-Forwarded-For": "192.0.2.3" })).toBe(200);
  expect(await Promise.race(slow.map(({ ended }) => ended))).toBe("");
  // Requests of authenticated users release their places for unknown senders.
  const abort = new AbortController();
  const follow = () =>
    fetch(`${at.url}/api/v2/workspaces/${at.workspace.id}/watch`, {
      headers: at.as(at.ada.token, "192.0.2.3"),
      signal: abort.signal,
    });
  // One by one, because each holds a place of its address until its sender is known.
  const following = [await follow(), await follow(), await follow()];
  expect(following.map(({ status }) => status)).toEqual([200, 200, 200]);
  expect(await ask("/users/me", at.as(at.ada.token, "192.0.2.3"))).toBe(200);
  const login = { email: "bob@example.com", password: PASSWORD };
  const answer = await send(at.url, "POST", "/api/v2/users/login", {
    headers: { "X-Forwarded-For": "192.0.2.3" },
    body: login,
  });
  expect(answer.status).toBe(201);
  abort.abort();
  for (const { socket } of slow) socket.destroy();
});

test("one user and one address each have a share of the requests in progress", async () => {
  await using at = await scene({ requests: { total: 100, perUser: 2, perAddress: 3 } });
  const slow = Array.from({ length: 3 }, () => slowRequest(at.port, "192.0.2.1"));
  const watch = (token: string, from: string) => {
    const abort = new AbortController();
    const whose = token === at.ada.token ? at.workspace : at.bobs;
    const answer = fetch(`${at.url}/api/v2/workspaces/${whose.id}/watch`, {
      headers: at.as(token, from),
      signal: abort.signal,
    });
    return answer.then((response) => ({ response, abort }));
  };
  // The answers are kept, because fetch ends a request whose answer was garbage-collected.
  const open: Awaited<ReturnType<typeof watch>>[] = [];
  // The place of the previous request is released once its answer was sent, which may be after it was read here.
  const opens = (token: string, from: string) =>
    expect
      .poll(async () => {
        const watching = await watch(token, from);
        if (watching.response.status === 200) open.push(watching);
        return watching.response.status;
      })
      .toBe(200);
  await opens(at.ada.token, "192.0.2.2");
  await opens(at.ada.token, "192.0.2.3");
  expect((await send(at.url, "GET", "/api/v2/users/me", { headers: at.as(at.ada.token, "192.0.2.2") })).status).toBe(
    429,
  );
  await opens(at.bob.token, "192.0.2.2");
  const isFull = async () =>
    (await send(at.url, "GET", "/api/v2/buildinfo", { headers: { "X-Forwarded-For": "192.0.2.1" } })).status;
  await expect.poll(isFull).toBe(429);
  expect((await send(at.url, "GET", "/api/v2/buildinfo", { headers: { "X-Forwarded-For": "192.0.2.9" } })).status).toBe(
    200,
  );
  for (const { socket } of slow) socket.destroy();
  for (const { abort } of open) abort.abort();
  await expect
    .poll(async () => (await send(at.url, "GET", "/api/v2/users/me", { headers: at.as(at.ada.token) })).status)
    .toBe(200);
});
