/** The rights of a workspace proxy depend on the database, because the questions of one proxy reach several servers. */
import { createHash } from "node:crypto";
import { PTY_SIGNED_TOKEN_PATH } from "coder-protocol/rest/proxy-apps";
import { expect, test, vi } from "vitest";
import { addMember, addWorkspace, agentToken, send } from "../helpers.ts";
import { agentNode, TestPeer } from "../peers.ts";
import { ending } from "../proxied.ts";
import { asProxy, createProxy, FakeProxy } from "../proxies.ts";
import { startCluster } from "./cluster-servers.ts";

const eventually = { timeout: 30_000, interval: 20 };

/** A proxy that serves apps and the agent of a member's workspace, both at the first of two servers. */
async function twoServers() {
  await using started = new AsyncDisposableStack();
  const cluster = started.use(await startCluster({ count: 2, flags: { "proxy-health-interval": "200ms" } }));
  const [here, there] = cluster.servers as [(typeof cluster.servers)[0], (typeof cluster.servers)[0]];
  const proxy = await createProxy({ ...here, token: cluster.token }, "near");
  const process = started.use(await FakeProxy.start());
  await process.register(here, proxy.token, { derp_only: false, wildcard_hostname: "*.near.test" });
  const { directory } = here.server.parts.proxies;
  await vi.waitFor(() => expect(directory.inMap).toHaveLength(1), eventually);
  const ada = await addMember(here.url, cluster.token, "member");
  const workspace = await addWorkspace(here.url, ada.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const secret = await agentToken(here.url, ada.token, workspace.id);
  const agent = started.use(await TestPeer.open(here.url, secret, "/api/v2/workspaceagents/me/rpc"));
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const all = started.move();
  return { here, there, proxy, process, ada, agentId, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

test("security R10: a tunnel that one server admits by another's token ends when the login ends at that other server", async () => {
  await using on = await twoServers();
  const { here, there, proxy, process, ada, agentId } = on;
  const url = `${process.url.replace("http", "ws")}/api/v2/workspaceagents/${agentId}/pty`;
  const asked = await send(here.url, "POST", PTY_SIGNED_TOKEN_PATH, {
    token: ada.token,
    body: { url, agentID: agentId },
  });
  expect(asked.status).toBe(200);
  await using peer = await TestPeer.ofProxy(there.url, proxy.token);
  peer.tunnelTo(agentId);
  // The node comes from the other server, and may be later than the doubt that each new tunnel begins with.
  expect([await peer.next(), await peer.next()].toSorted()).toEqual([`doubt ${agentId}`, `node ${agentId}`]);
  expect((await send(here.url, "POST", "/api/v2/users/logout", { token: ada.token })).status).toBe(200);
  expect(await ending(peer)).toBe(true);
});

test("security S10: a ticket of one server is accepted by another, and only once by all of them", async () => {
  await using on = await twoServers();
  const { here, there, proxy, process, ada } = on;
  const nonce = "a".repeat(22);
  const query = new URLSearchParams({
    redirect_uri: `http://8080--main--dev--member.near.test:${process.port}/`,
    state: createHash("sha256").update(nonce).digest("base64url"),
  });
  const decided = await send(here.url, "GET", `/api/v2/applications/auth-redirect?${query}`, { token: ada.token });
  const location = new URL(String(decided.headers["location"]));
  const ticket = location.searchParams.get("coder_application_connect_api_key_35e783");
  const redemption = { ticket, host: location.hostname, nonce };
  const answers = await Promise.all(
    [there, here, there, here].map((at) => asProxy(at, proxy.token, "redeem-app-ticket", redemption)),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400, 400]);
  const session = answers.find(({ status }) => status === 200)?.json.session_id;
  for (const at of [here, there]) {
    const question = {
      app_request: { access_method: "subdomain" },
      app_hostname: location.hostname,
      session_token: session,
    };
    expect((await asProxy(at, proxy.token, "issue-signed-app-token", question)).status).toBe(201);
  }
});
