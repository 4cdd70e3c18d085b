/** A workspace proxy that serves apps and terminals, and a workspace whose agent is connected. */
import { type CryptoKey, PROXY_CRYPTO_KEYS_PATH } from "coder-protocol/rest/proxy-apps";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import { expect, vi } from "vitest";
import { type AppTokenClaims, proxyAudience, verifyAppToken } from "../src/base/app-token.ts";
import type { ServerFlagValues } from "../src/config/flags.ts";
import type { HttpLimits } from "../src/http/limits.ts";
import { addMember, addWorkspace, agentToken, send } from "./helpers.ts";
import { agentNode, TestPeer } from "./peers.ts";
import { createProxy, type Deployment, FakeProxy, proxyDeployment, until } from "./proxies.ts";

const AGENT_RPC = "/api/v2/workspaceagents/me/rpc";

export interface Proxied extends AsyncDisposable {
  readonly at: Deployment;
  readonly proxy: { id: string; token: string };
  readonly process: FakeProxy;
  /** The owner of the workspace. */
  readonly ada: { token: string; id: string };
  readonly workspaceId: string;
  readonly agentId: string;
  readonly agent: TestPeer;
}

/** A proxy that serves terminals, and a workspace whose agent is connected. @param address Of the proxy. */
export async function proxied(
  limits: Partial<HttpLimits> = {},
  flags: ServerFlagValues = {},
  address?: string,
): Promise<Proxied> {
  const at = await proxyDeployment({ "max-share-level": "public", ...flags }, limits);
  const process = await FakeProxy.start(address);
  const proxy = await createProxy(at, "near");
  const registered = await process.register(at, proxy.token, {
    derp_only: false,
    wildcard_hostname: "*.near.test",
  });
  if (registered.status !== 201) throw new Error(registered.text);
  await until(at, () => at.server.parts.proxies.directory.inMap.length === 1); // the proxy is healthy
  const ada = await addMember(at.url, at.token, "member");
  const workspace = await addWorkspace(at.url, ada.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const agent = await TestPeer.open(at.url, await agentToken(at.url, ada.token, workspace.id), AGENT_RPC);
  agent.send({ updateSelf: { node: agentNode(agentId) } });
  const row = () => at.server.parts.store.agents.byId(agentId);
  await vi.waitFor(async () => expect((await row())?.last_connected_at).not.toBeNull(), 30_000);
  return {
    at,
    proxy,
    process,
    ada,
    workspaceId: workspace.id,
    agentId,
    agent,
    [Symbol.asyncDispose]: async () => {
      await agent[Symbol.asyncDispose]();
      await process[Symbol.asyncDispose]();
      await at[Symbol.asyncDispose]();
    },
  };
}

export async function keysOf(at: Deployment, token: string): Promise<CryptoKey[]> {
  const headers = { [PROXY_TOKEN_HEADER]: token };
  const path = `${PROXY_CRYPTO_KEYS_PATH}?feature=workspace_apps_token`;
  return (await send(at.url, "GET", path, { headers })).json.crypto_keys;
}

/** What the proxy finds in a token. */
export async function read({ at, proxy }: Pick<Proxied, "at" | "proxy">, text: string, reader = proxy) {
  const keys = (await keysOf(at, reader.token)).map((key) => ({ ...key, deletesAt: Date.parse(key.deletes_at) }));
  const issuer = at.server.parts.deployment.deploymentId;
  return verifyAppToken(text, keys, { issuer, audience: proxyAudience(reader.id), now: Date.now() });
}

export async function claimsOf(on: Proxied, text: string): Promise<AppTokenClaims> {
  const found = await read(on, text);
  if ("refused" in found) throw new Error(found.refused);
  return found.claims;
}

/** A control connection of the proxy with a tunnel to the agent. */
export async function tunnelOf(on: Proxied): Promise<TestPeer> {
  const peer = await TestPeer.ofProxy(on.at.url, on.proxy.token);
  peer.tunnelTo(on.agentId);
  expect(await peer.next()).toBe(`node ${on.agentId}`);
  expect(await peer.next()).toBe(`doubt ${on.agentId}`); // what it was granted before there was the tunnel
  return peer;
}

/** Reads until the stream or its connection ends. */
export async function ending(peer: TestPeer): Promise<boolean> {
  for (;;) {
    const next = await peer.next().catch(() => "end");
    if (next === "end") return true;
  }
}
