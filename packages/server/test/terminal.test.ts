import { randomUUID } from "node:crypto";
import { SESSION_TOKEN_COOKIE, SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { addMember, addWorkspace, firstUser, openSocket, openSocketOrFail, startServer } from "./helpers.ts";

/** Without a control plane no agent can be reached, so opening a tunnel is abandoned after this time. */
const NO_TUNNEL = { deps: { tunnelConnectMs: 100 } };

async function prepare(url: string) {
  const { token } = await firstUser(url);
  const workspace = await addWorkspace(url, token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const path = (query: Record<string, string>) =>
    `/api/v2/workspaceagents/${agentId}/pty?${new URLSearchParams(query)}`;
  return { token, path };
}

test("a terminal needs access to the workspace, and is never opened for a page of another origin", async () => {
  await using test = await startServer();
  const { token, path } = await prepare(test.url);
  const stranger = await addMember(test.url, token, "stranger");
  const terminal = path({ reconnect: randomUUID() });
  const cookie = `${SESSION_TOKEN_COOKIE}=${token}`;
  expect(await openSocket(test.url, terminal, {})).toMatchObject({ status: 401 });
  expect(await openSocket(test.url, terminal, { [SESSION_TOKEN_HEADER]: stranger.token })).toMatchObject({
    status: 404,
  });
  expect(await openSocket(test.url, terminal, { Cookie: cookie })).toMatchObject({ status: 403 });
  expect(await openSocket(test.url, terminal, { Cookie: cookie, Origin: "https://evil.example" })).toMatchObject({
    status: 403,
  });
});

test("parameters out of range are refused, each by name", async () => {
  await using test = await startServer();
  const { token, path } = await prepare(test.url);
  const headers = { [SESSION_TOKEN_HEADER]: token };
  const asked = path({ reconnect: "1", width: "65536", height: "-1", command: "x".repeat(4097) });
  const answer = await openSocket(test.url, asked, headers);
  if (!("status" in answer)) throw new Error("accepted");
  expect(answer.status).toBe(400);
  const fields = JSON.parse(answer.text).validations.map(({ field }: { field: string }) => field);
  expect(fields.sort()).toEqual(["command", "height", "reconnect", "width"]);
});

test("failures after the upgrade are shown in the terminal", async () => {
  await using test = await startServer(NO_TUNNEL);
  const { token, path } = await prepare(test.url);
  const page = await openSocketOrFail(test.url, path({ reconnect: randomUUID() }), { [SESSION_TOKEN_HEADER]: token });
  expect(await page.next()).toMatch(/^coder: .+\r\n$/);
  expect(await page.closed).toBe(1011);
  expect(test.log.text).not.toContain(token);
});

test("security 34: a terminal's id admits only the user who opened it", async () => {
  await using test = await startServer(NO_TUNNEL);
  const { token } = await firstUser(test.url);
  const member = await addMember(test.url, token, "member");
  const workspace = await addWorkspace(test.url, member.token, "dev");
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  const terminal = `/api/v2/workspaceagents/${agentId}/pty?reconnect=${randomUUID()}`;
  const page = await openSocketOrFail(test.url, terminal, { [SESSION_TOKEN_HEADER]: member.token });
  await page.closed;
  // The deployment's owner may use this workspace, and their own terminal in it.
  const refused = await openSocket(test.url, terminal, { [SESSION_TOKEN_HEADER]: token });
  expect(refused).toMatchObject({ status: 403 });
  const own = `/api/v2/workspaceagents/${agentId}/pty?reconnect=${randomUUID()}`;
  await (await openSocketOrFail(test.url, own, { [SESSION_TOKEN_HEADER]: token })).closed;
  await (await openSocketOrFail(test.url, terminal, { [SESSION_TOKEN_HEADER]: member.token })).closed;
});
