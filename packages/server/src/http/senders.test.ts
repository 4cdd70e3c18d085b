import { EventEmitter } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { PROXY_TOKEN_HEADER } from "coder-protocol/rest/workspace-proxies";
import type { Context } from "hono";
import { expect, test } from "vitest";
import { Authenticator } from "../auth/authenticator.ts";
import { formatUserToken, hashSecret, mintUserToken } from "../auth/tokens.ts";
import { DomainError } from "../base/domain-error.ts";
import { Places } from "../base/places.ts";
import { UnknownSenders } from "../base/unknown-senders.ts";
import { ProxyAuthenticator } from "../workspace-proxies/proxy-authenticator.ts";
import { formatProxyToken, mintProxyToken } from "../workspace-proxies/proxy-token.ts";
import type { HttpEnv } from "./hono.ts";
import { agentSender, proxySender } from "./senders.ts";

const userToken = mintUserToken();
const agentToken = "6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d11";
const proxyToken = mintProxyToken("6b0f8f4e-1c7a-4d6e-9a31-2f1b7a0c5d12");

const user = { id: "ada", status: "active" };
const users = new Authenticator({
  store: {
    lookups: {
      key: async () => ({
        key: {
          id: userToken.id,
          user_id: user.id,
          secret_hash: hashSecret(userToken.secret),
          expires_at: 1,
          last_used: 0,
          lifetime_seconds: 60,
          scope: "all",
        },
        user,
      }),
      agentOfToken: async () => ({
        agent: { id: "agent", token_hash: hashSecret(agentToken) },
        workspace: { id: "w", deleted_at: null },
        owner: user,
        transition: "start",
      }),
    },
  },
  csrfKey: new Uint8Array(32),
  hosts: {},
  secureCookies: () => false,
  clock: { now: () => 0 },
  events: { moment: 0 },
} as unknown as ConstructorParameters<typeof Authenticator>[0]);
const proxies = new ProxyAuthenticator({
  byId: async () => ({ id: proxyToken.proxyId, token_hash: hashSecret(proxyToken.secret) }),
} as unknown as ConstructorParameters<typeof ProxyAuthenticator>[0]);

function exchange(header: string, token: string) {
  const request = { headers: { [header.toLowerCase()]: token }, method: "GET" } as unknown as IncomingMessage;
  const response = Object.assign(new EventEmitter(), { destroyed: false }) as unknown as ServerResponse;
  const context = { env: { incoming: request, outgoing: response } } as unknown as Context<HttpEnv>;
  return { request, response, context };
}

const asUser = (request: IncomingMessage): Promise<unknown> => users.authenticateUser(request);
const asAgent = (request: IncomingMessage): Promise<unknown> => users.authenticateAgent(request);
const asProxy = (request: IncomingMessage): Promise<unknown> => proxies.authenticate(request);

test.each([
  ["a user", asUser, SESSION_TOKEN_HEADER, formatUserToken(userToken)],
  ["an agent", asAgent, SESSION_TOKEN_HEADER, agentToken],
  ["a workspace proxy", asProxy, PROXY_TOKEN_HEADER, formatProxyToken(proxyToken)],
])(
  "security 40: once %s is authenticated, its request takes no place of unknown senders",
  async (_name, as, header, token) => {
    const senders = new UnknownSenders({ total: 8 });
    const [known, unknown] = [exchange(header, token), exchange(header, "wrong")];
    for (const { request, response } of [known, unknown]) senders.admit(request, response, "192.0.2.1");
    const refused = await as(unknown.request).catch((error: unknown) => error);
    expect([refused instanceof DomainError, senders.count]).toEqual([true, 2]);
    await as(known.request);
    expect(senders.count).toBe(1);
  },
);

test.each([
  ["an agent", (places: Places) => agentSender(users, places), SESSION_TOKEN_HEADER, agentToken],
  [
    "a workspace proxy",
    (places: Places) => proxySender(proxies, places),
    PROXY_TOKEN_HEADER,
    formatProxyToken(proxyToken),
  ],
])("requests of %s have a share of the places until they are answered", async (_name, senderOf, header, token) => {
  const places = new Places("requests", { total: 8, perUser: 2 });
  const sender = senderOf(places);
  const [first, second, third] = [1, 2, 3].map(() => exchange(header, token));
  await sender(first!.context);
  await sender(second!.context);
  await expect(sender(third!.context)).rejects.toMatchObject({ code: "too-many" });
  first!.response.emit("close");
  await sender(third!.context);
  expect(places.taken).toBe(2);
});
