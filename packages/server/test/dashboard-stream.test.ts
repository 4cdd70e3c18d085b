/** GET /dashboard/stream of a whole server: who may subscribe to what, what arrives after a change, and how it ends. */
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import {
  addMember,
  addWorkspace,
  firstUser,
  openSocket,
  openSocketOrFail,
  type SocketReader,
  send,
  startServer,
  type TestServer,
} from "./helpers.ts";

const STREAM = "/api/v2/dashboard/stream";

// biome-ignore lint/suspicious/noExplicitAny: a test looks into whatever came back
type Message = any;

async function stream(at: TestServer, token: string) {
  const reader = await openSocketOrFail(at.url, STREAM, { [SESSION_TOKEN_HEADER]: token });
  return {
    reader,
    send: (message: unknown) => reader.socket.send(JSON.stringify(message)),
    next: async (): Promise<Message> => JSON.parse((await reader.next()) ?? "null"),
    /** Reads until a message satisfies `wanted`. */
    until: async (wanted: (message: Message) => boolean): Promise<Message> => {
      for (;;) {
        const message: Message = JSON.parse((await reader.next()) ?? "null");
        if (message === null) throw new Error("the stream closed");
        if (wanted(message)) return message;
      }
    },
  };
}

async function deployment() {
  const at = await startServer();
  const owner = await firstUser(at.url);
  const member = await addMember(at.url, owner.token, "bob");
  const own = await addWorkspace(at.url, owner.token, "own");
  const bobs = await addWorkspace(at.url, member.token, "bobs");
  const agent = (workspace: Message): string => workspace.latest_build.resources[0].agents[0].id;
  return { ...at, owner, member, own, bobs, ownAgent: agent(own), bobsAgent: agent(bobs) };
}

const closed = (reader: SocketReader): Promise<number> => reader.closed;

test("the list of workspaces: a snapshot of what the user may see, then what changed", async () => {
  await using at = await deployment();
  const bob = await stream(at, at.member.token);
  const ada = await stream(at, at.owner.token);
  for (const browser of [bob, ada]) browser.send({ op: "sub", id: 1, topic: "workspaces", args: { q: "" } });
  expect(Object.keys((await bob.next()).data)).toEqual([at.bobs.id]);
  const all = await ada.next();
  expect(Object.keys(all.data).sort()).toEqual([at.own.id, at.bobs.id].sort());
  expect(all.data[at.bobs.id]).toMatchObject({
    name: "bobs",
    owner_name: "bob",
    status: "running",
    agents: [{ name: "main", status: "connecting", path: "none" }],
  });
  const build = await send(at.url, "POST", `/api/v2/workspaces/${at.bobs.id}/builds`, {
    token: at.member.token,
    body: { transition: "stop" },
  });
  expect(build.status).toBe(201);
  for (const browser of [bob, ada])
    expect(await browser.next()).toMatchObject({
      id: 1,
      type: "patch",
      set: { [at.bobs.id]: { status: "stopped" } },
      del: [],
    });
  await send(at.url, "POST", `/api/v2/workspaces/${at.bobs.id}/builds`, {
    token: at.member.token,
    body: { transition: "delete" },
  });
  for (const browser of [bob, ada])
    expect(await browser.until(({ del }) => del?.length > 0)).toMatchObject({ del: [at.bobs.id] });
});

test("topics are refused to those who may not read them, with the answer of what does not exist", async () => {
  await using at = await deployment();
  const bob = await stream(at, at.member.token);
  const nowhere = "00000000-0000-4000-8000-000000000000";
  const refused = [
    ["workspace", { id: at.own.id }],
    ["workspace", { id: nowhere }],
    ["workspace", { id: "x" }],
    ["agent-network", { agent: at.ownAgent }],
    ["agent-metadata", { agent: at.ownAgent }],
    ["agent-logs", { agent: at.ownAgent }],
    ["ports", { agent: at.ownAgent }],
    ["ports", { agent: nowhere }],
    ["terminals", { agent: at.ownAgent }],
    ["terminals", { agent: nowhere }],
    ["health", {}],
  ] as const;
  const texts = new Set<string>();
  for (const [id, [topic, args]] of refused.entries()) {
    bob.send({ op: "sub", id, topic, args });
    const answer = await bob.next();
    expect([id, answer.id, answer.type, answer.status]).toEqual([id, id, "error", 404]);
    texts.add(answer.message);
  }
  expect(texts.size).toBe(1);
  bob.send({ op: "sub", id: 90, topic: "workspaces", args: { q: "colour:red" } });
  expect(await bob.next()).toMatchObject({ id: 90, type: "error", status: 400 });
  bob.send({ op: "sub", id: 91, topic: "ports" });
  expect(await bob.next()).toMatchObject({ id: 91, type: "error", status: 400 });
  bob.send({ op: "ping" });
  expect(await bob.next()).toEqual({ type: "pong" });
});

test("every topic of an own agent has data; logs arrive as they are written, names as they change", async () => {
  await using at = await deployment();
  const bob = await stream(at, at.member.token);
  bob.send({ op: "sub", id: 1, topic: "workspace", args: { id: at.bobs.id } });
  expect((await bob.next()).data).toMatchObject({ name: "bobs", id: at.bobs.id });
  bob.send({ op: "sub", id: 2, topic: "agent-network", args: { agent: at.bobsAgent } });
  expect(await bob.next()).toMatchObject({ id: 2, type: "snapshot", data: {} });
  bob.send({ op: "sub", id: 3, topic: "agent-metadata", args: { agent: at.bobsAgent } });
  expect(await bob.next()).toMatchObject({ id: 3, type: "snapshot", data: {} });
  bob.send({ op: "sub", id: 4, topic: "ports", args: { agent: at.bobsAgent } });
  expect(await bob.next()).toMatchObject({ id: 4, data: { ports: [], shares: [] } });
  bob.send({ op: "sub", id: 5, topic: "agent-logs", args: { agent: at.bobsAgent, after: 0 } });
  expect(await bob.next()).toMatchObject({ id: 5, data: {} });
  const log = (output: string) => [{ createdAt: at.clock.now(), output, level: "info" as const }];
  await at.server.parts.agentState.appendLogs(at.bobsAgent, "00000000-0000-0000-0000-000000000000", log("first"));
  const line = await bob.until(({ id }) => id === 5);
  expect(Object.values(line.set)).toMatchObject([{ output: "first" }]);
  // The agent is not connected, so it cannot be asked.
  bob.send({ op: "sub", id: 7, topic: "terminals", args: { agent: at.bobsAgent } });
  const terminals = await bob.until(({ id }) => id === 7);
  expect(terminals.data).toEqual({ terminals: [], supported: true, reachable: false });
  bob.send({ op: "sub", id: 6, topic: "me" });
  expect((await bob.until(({ id }) => id === 6)).data).toMatchObject({ user: { username: "bob" } });
  await send(at.url, "PUT", "/api/v2/users/me/profile", {
    token: at.member.token,
    body: { username: "bob", name: "Bob" },
  });
  expect(await bob.until(({ id }) => id === 6)).toMatchObject({ set: { user: { name: "Bob" } } });
  await send(at.url, "POST", `/api/v2/workspaces/${at.bobs.id}/port-share`, {
    token: at.member.token,
    body: { agent_name: "main", port: 3000, share_level: "authenticated", protocol: "http" },
  });
  expect(await bob.until(({ id }) => id === 4)).toMatchObject({ set: { shares: [{ port: 3000 }] } });
});

test("security S13: logout, suspension and a new role end the stream; a deleted workspace ends what is about it", async () => {
  await using at = await deployment();
  const bob = await stream(at, at.member.token);
  bob.send({ op: "sub", id: 1, topic: "agent-logs", args: { agent: at.bobsAgent } });
  await bob.next();
  await send(at.url, "POST", `/api/v2/workspaces/${at.bobs.id}/builds`, {
    token: at.member.token,
    body: { transition: "delete" },
  });
  expect(await bob.next()).toMatchObject({ id: 1, type: "error", status: 404 });
  await send(at.url, "PUT", `/api/v2/users/${at.member.id}/roles`, {
    token: at.owner.token,
    body: { roles: ["owner"] },
  });
  expect(await bob.next()).toEqual({ type: "denied" });
  expect(await closed(bob.reader)).toBe(1008);
  const again = await stream(at, at.member.token);
  await send(at.url, "POST", "/api/v2/users/logout", { token: at.member.token });
  expect(await again.next()).toEqual({ type: "denied" });
  expect(await closed(again.reader)).toBe(1008);
  expect((await openSocket(at.url, STREAM, { [SESSION_TOKEN_HEADER]: at.member.token })) as Message).toMatchObject({
    status: 401,
  });
});

test("security S8, S25: foreign pages get no stream; a user has five, and an invalid request or a flood ends one", async () => {
  await using at = await deployment();
  const cookie = `coder_session_token=${at.member.token}`;
  for (const headers of [{ Cookie: cookie }, { Cookie: cookie, Origin: "http://evil.example" }] as const)
    expect((await openSocket(at.url, STREAM, headers)) as Message).toMatchObject({ status: 403 });
  const own = await openSocketOrFail(at.url, STREAM, { Cookie: cookie, Origin: at.url });
  const streams = [];
  for (let n = 0; n < 4; n++) streams.push(await stream(at, at.member.token));
  const sixth = (await openSocket(at.url, STREAM, { Cookie: cookie, Origin: at.url })) as Message;
  expect(sixth.status).toBe(429);
  own.socket.send("not json");
  expect(await own.closed).toBe(1002);
  const flood = streams[0]!;
  for (let n = 0; n < 300; n++) flood.send({ op: "unsub", id: n });
  expect(await closed(flood.reader)).toBe(1008);
  expect(at.log.text).not.toContain("failed");
});
