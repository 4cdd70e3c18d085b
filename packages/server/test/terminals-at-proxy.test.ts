/** Terminals at a workspace proxy, with a scripted primary and an agent that echoes. */
import { randomUUID } from "node:crypto";
import { Duplex } from "node:stream";
import { SIGNED_APP_TOKEN_PARAMETER } from "coder-protocol/rest/proxy-apps";
import { expect, test, vi } from "vitest";
import type { AppTokenFacts } from "../src/base/app-token.ts";
import { createLogger } from "../src/base/log.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import { parseProxyConfig } from "../src/proxy/config.ts";
import { type ProxyDeps, WorkspaceProxy } from "../src/proxy/workspace-proxy.ts";
import { FakePrimary } from "./fake-primary.ts";
import { ADA, AGENT_ID, FakeApps, factsOf, json } from "./fake-primary-apps.ts";
import { openSocket, openSocketOrFail, send, TextCollector } from "./helpers.ts";

const PROXY_ID = "0b4f42b9-3a9c-4d0e-8f52-6f6f0c7f9d11";
const TOKEN = `${PROXY_ID}:${"5e".repeat(32)}`;
const eventually = { timeout: 25_000, interval: 25 };

/** The agent's end of a terminal: it echoes its input after the first message. */
class EchoAgent extends Duplex {
  readonly init = Promise.withResolvers<Record<string, unknown>>();
  #begun = false;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#begun) this.push(chunk);
    else this.init.resolve(JSON.parse(chunk.subarray(2).toString()));
    this.#begun = true;
    done();
  }
}

/** @param failure The error of every tunnel. */
async function start(flags: ServerFlagValues = {}, failure?: Error) {
  const primary = await new FakePrimary(TOKEN).listen();
  primary.apps = new FakeApps(PROXY_ID);
  const agents: { readonly agentId: string; readonly port: number; readonly stream: EchoAgent }[] = [];
  const tunnels = {
    acquire: async ({ agentId }: { agentId: string }) => ({
      connection: {
        dial: async (port: number) => {
          if (failure !== undefined) throw failure;
          const stream = new EchoAgent();
          agents.push({ agentId, port, stream });
          return stream;
        },
        path: undefined,
        onPathChange: () => () => undefined,
      },
      release: () => undefined,
    }),
    end: () => undefined,
    close: async () => undefined,
  } as unknown as ProxyDeps["tunnels"] & object;
  const log = new TextCollector();
  const config = parseProxyConfig({
    "primary-access-url": primary.url,
    "access-url": "http://near.example",
    "proxy-session-token": TOKEN,
    "http-address": "127.0.0.1:0",
    "stun-address": "disable",
    ...flags,
  });
  const proxy = new WorkspaceProxy(config, {
    log: createLogger({ sink: log, level: "debug", format: "json" }),
    tunnels,
  });
  await proxy.listen();
  const url = `http://127.0.0.1:${proxy.address!.port}`;
  await vi.waitFor(async () => expect((await send(url, "GET", "/readyz")).status).toBe(200), eventually);
  const close = async (): Promise<void> => {
    await proxy.close();
    await primary[Symbol.asyncDispose]();
  };
  return { primary, apps: primary.apps, proxy, url, log, agents, [Symbol.asyncDispose]: close };
}

const facts = (grant: Parameters<typeof factsOf>[1] = {}): AppTokenFacts =>
  factsOf({ access_method: "terminal", agent_name_or_id: AGENT_ID }, grant);

function pathOf(token: string | undefined, terminal: string = randomUUID(), agentId = AGENT_ID): string {
  const query = new URLSearchParams({ reconnect: terminal });
  if (token !== undefined) query.set(SIGNED_APP_TOKEN_PARAMETER, token);
  return `/api/v2/workspaceagents/${agentId}/pty?${query}`;
}

test("a terminal with the primary's token reaches the agent, as the user that the token names", async () => {
  await using at = await start();
  const token = at.apps.sign(facts());
  const page = await openSocketOrFail(at.url, pathOf(token), { Origin: at.primary.url });
  await vi.waitFor(() => expect(at.agents).toHaveLength(1), eventually);
  const [{ agentId, port, stream } = at.agents[0]!] = at.agents;
  expect([agentId, port]).toEqual([AGENT_ID, 2]);
  expect(await stream.init.promise).toMatchObject({ User: ADA.id, UserName: "ada" });
  page.socket.send(Buffer.from("hello"));
  expect(String(await page.next())).toBe("hello");
  expect(at.proxy.report()).toEqual({ errors: [], warnings: [] });
  expect(at.primary.statements[0]).toMatchObject({ derp_enabled: true, derp_only: false, wildcard_hostname: "" });
  expect(at.primary.faults).toEqual([]);
  expect(at.log.text).not.toContain(token);
});

test("the use of a terminal is reported to the primary", async () => {
  await using at = await start();
  await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
  await vi.waitFor(() => expect(at.agents).toHaveLength(1), eventually);
  await at.proxy.close();
  expect(at.apps.uses).toMatchObject([
    { user_id: ADA.id, agent_id: AGENT_ID, access_method: "terminal", slug_or_port: "", requests: 1 },
  ]);
});

test("security R17: only a token of the primary for this proxy, this agent and a terminal opens anything", async () => {
  const began = performance.now();
  await using at = await start();
  const good = facts();
  const wrong: [string | undefined, number][] = [
    [undefined, 401],
    ["", 401],
    ["a.b.c", 401],
    [at.apps.sign(good, { audience: "proxy:another" }), 401],
    [at.apps.sign(good, { issuer: "another deployment" }), 401],
    [at.apps.sign(good, { now: Date.now() - 120_000 }), 401],
    [at.apps.sign(good, { now: Date.now() + 180_000 }), 401],
    [at.apps.sign(good, {}, 9), 401],
    [`${at.apps.sign(good).slice(0, -2)}AA`, 401],
    [at.apps.sign(factsOf({ access_method: "path" })), 403],
    [at.apps.sign({ ...good, agent_id: randomUUID() }), 403],
    [at.apps.sign(factsOf({ access_method: "terminal" }, { visitor: undefined })), 403],
  ];
  for (const [token, status] of wrong)
    expect(await openSocket(at.url, pathOf(token), {}), token).toMatchObject({ status });
  expect(at.agents).toEqual([]);
  // Unknown keys cause at most one request in ten seconds.
  expect(at.apps.asked.length).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - began) / 10_000));
});

test("pages of the dashboard and of the proxy may open terminals, those of any other origin may not", async () => {
  await using at = await start({ "disable-path-apps": "true" });
  const open = (origin: string) => openSocket(at.url, pathOf(at.apps.sign(facts())), { Origin: origin });
  for (const origin of ["http://evil.example", "null", `${at.primary.url}.evil.example`, "http://near.example:81"])
    expect(await open(origin), origin).toMatchObject({ status: 403 });
  for (const origin of [at.primary.url, "http://near.example"]) expect(await open(origin)).not.toHaveProperty("status");
});

test("a terminal's id admits only the user who opened it", async () => {
  await using at = await start();
  const id = randomUUID();
  await openSocketOrFail(at.url, pathOf(at.apps.sign(facts()), id), {});
  const bob = { id: randomUUID(), role: "member", username: "bob", email: "bob@example.com" } as const;
  expect(await openSocket(at.url, pathOf(at.apps.sign(facts({ visitor: bob })), id), {})).toMatchObject({
    status: 403,
  });
});

test("the primary is asked again for an open terminal, by the id of its token, and its refusal ends it", async () => {
  await using at = await start();
  const opened = Promise.withResolvers<void>();
  at.apps.issue = async () => {
    await opened.promise;
    return json(404, { message: "Not found." });
  };
  const granted = facts({ ends_at: Date.now() }); // an expired right is asked about at once
  const page = await openSocketOrFail(at.url, pathOf(at.apps.sign(granted)), {});
  await vi.waitFor(() => expect(at.agents).toHaveLength(1), eventually);
  opened.resolve();
  expect(await page.closed).toBe(1008);
  expect(at.apps.requests).not.toEqual([]);
  for (const { app_request, session_token } of at.apps.requests)
    expect([app_request.access_method, app_request.agent_name_or_id, session_token]).toEqual([
      "terminal",
      AGENT_ID,
      granted.jti,
    ]);
  await vi.waitFor(() => expect(at.agents[0]!.stream.destroyed).toBe(true), eventually);
});

test("the log says why there is no connection, and the page is shown no host", async () => {
  await using at = await start({}, new Error("https://internal.example:3000: connection refused"));
  const page = await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
  const shown = String(await page.next());
  expect(shown).toContain("the workspace proxy has no connection to the workspace");
  expect(shown).not.toContain("internal.example");
  expect(await page.closed).toBe(1011);
  expect(at.log.text).toContain("https://internal.example:3000: connection refused");
});

test("the primary is asked about a token that is not fresh as soon as its terminal is open", async () => {
  await using at = await start();
  at.apps.issue = () => json(401, { message: "The session is not valid any more" });
  const token = at.apps.sign(facts(), { now: Date.now() - 20_000 });
  const page = await openSocketOrFail(at.url, pathOf(token), {});
  expect(await page.closed).toBe(1008);
  expect(at.apps.requests).toHaveLength(1);
});

test("security R20: a proxy token that is replaced ends open terminals, and no further one opens", async () => {
  await using at = await start();
  const page = await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
  at.primary.token = `${PROXY_ID}:${"7a".repeat(32)}`;
  for (const stream of at.primary.streams) stream.close(1008);
  expect(await page.closed).toBe(1008);
  expect(await openSocket(at.url, pathOf(at.apps.sign(facts())), {})).toMatchObject({ status: 503 });
});

test("while the primary is away, an open terminal continues, and another opens with a valid token", async () => {
  await using at = await start();
  const page = await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
  await at.primary.goAway();
  await vi.waitFor(() => expect(at.proxy.report().warnings.join()).toContain("no stream of relay keys"), eventually);
  page.socket.send(Buffer.from("goes on"));
  expect(String(await page.next())).toBe("goes on");
  await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
});

test("a proxy that only relays has no terminals, and one without a relay has only terminals", async () => {
  await using relay = await start({ "derp-only": true });
  const token = relay.apps.sign(facts());
  expect(await openSocket(relay.url, pathOf(token), {})).toMatchObject({ status: 404 });
  expect(relay.apps.asked).toEqual([]);
  await using bare = await start({ "derp-server-enable": false });
  await openSocketOrFail(bare.url, pathOf(bare.apps.sign(facts())), {});
  expect((await send(bare.url, "GET", "/derp/latency-check")).status).toBe(404);
  expect(bare.primary.statements[0]).toMatchObject({ derp_enabled: false, derp_only: false, stun_port: 0 });
  expect([bare.primary.streams.size, bare.proxy.relay]).toEqual([0, undefined]);
});

test("a stopping proxy ends terminals with the code of a server that will return", async () => {
  await using at = await start();
  const page = await openSocketOrFail(at.url, pathOf(at.apps.sign(facts())), {});
  await at.proxy.close();
  expect(await page.closed).toBe(1001);
});
