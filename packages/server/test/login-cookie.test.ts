/** Which cookie of a request is a login, and for which requests it is accepted. */
import { CSRF_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import {
  addWorkspace,
  firstUser,
  openSocket,
  openSocketOrFail,
  PASSWORD,
  send,
  startServer,
  type TestServer,
} from "./helpers.ts";

const api = "/api/v2";
const BROWSER = { "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin" };

async function started(url: string): Promise<{ test: TestServer; token: string }> {
  const test = await startServer({ flags: { "access-url": url } });
  return { test, token: (await firstUser(test.url)).token };
}

function me(test: TestServer, headers: Record<string, string>): Promise<number> {
  return send(test.url, "GET", `${api}/users/me`, { headers }).then(({ status }) => status);
}

test("security S1: on https a browser's login is its __Host- cookie, and the plain name is accepted from other clients", async () => {
  const { test: server, token } = await started("https://coder.example.com");
  await using _ = server;
  const plain = `coder_session_token=${token}`;
  const prefixed = `__Host-coder_session=${token}`;
  expect(await me(server, { Cookie: prefixed, ...BROWSER })).toBe(200);
  expect(await me(server, { Cookie: plain, ...BROWSER })).toBe(401);
  expect(await me(server, { Cookie: plain })).toBe(200);
  expect(await me(server, { Cookie: prefixed })).toBe(200);
  // A cookie that a page of a sibling domain sets does not affect the login.
  for (const cookies of [`coder_session_token=evil; ${prefixed}`, `${prefixed}; coder_session_token=evil`]) {
    expect(await me(server, { Cookie: cookies, ...BROWSER })).toBe(200);
    expect(await me(server, { Cookie: cookies })).toBe(200);
  }
  const workspace = await addWorkspace(server.url, token, "dev");
  const path = `${api}/workspaces/${workspace.id}/watch-ws`;
  const origin = "https://coder.example.com";
  expect(await openSocket(server.url, path, { Cookie: plain, Origin: origin })).toMatchObject({ status: 401 });
  const opened = await openSocketOrFail(server.url, path, { Cookie: prefixed, Origin: origin });
  opened.socket.terminate();
});

test("security S2: two login cookies with one name invalidate each other, even if their values are equal", async () => {
  const { test: server, token } = await started("https://coder.example.com");
  await using _ = server;
  const prefixed = `__Host-coder_session=${token}`;
  for (const other of ["evil", token]) {
    expect(await me(server, { Cookie: `${prefixed}; __Host-coder_session=${other}`, ...BROWSER })).toBe(401);
    expect(await me(server, { Cookie: `__Host-coder_session=${other}; ${prefixed}`, ...BROWSER })).toBe(401);
  }
  expect(await me(server, { Cookie: `__host-coder_session=${token}`, ...BROWSER })).toBe(401);
});

test("on http the plain name is the login, and a __Host- cookie is not", async () => {
  const { test: server, token } = await started("http://coder.example.com");
  await using _ = server;
  expect(await me(server, { Cookie: `coder_session_token=${token}`, ...BROWSER })).toBe(200);
  expect(await me(server, { Cookie: `__Host-coder_session=${token}`, ...BROWSER })).toBe(401);
});

test("security S7: a login's cookie is not accepted on a request to the API that a page of another site caused", async () => {
  const { test: server, token } = await started("http://coder.example.com");
  await using _ = server;
  const cookie = { Cookie: `coder_session_token=${token}` };
  const sites = { "same-origin": 200, none: 200, "same-site": 403, "cross-site": 403, unheard: 403 };
  for (const mode of ["no-cors", "cors", "navigate", "websocket"])
    for (const [site, status] of Object.entries(sites))
      for (const dest of ["script", "image", "document", "iframe", "empty"]) {
        const headers = { "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest };
        expect([headers, await me(server, { ...cookie, ...headers })]).toEqual([headers, status]);
      }
  const crossSite = {
    ...cookie,
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "script",
  };
  for (const path of ["/%61pi/v2/users/me", "/a%70%69/v2/users/me", "/x/../api/v2/users/me", "/%2e/%61pi/v2/users/me"])
    expect([path, (await send(server.url, "GET", path, { headers: crossSite })).status]).toEqual([path, 403]);
  // A token in a header can be sent only by the page's own script, which has to know it.
  expect(await me(server, { "Coder-Session-Token": token, "Sec-Fetch-Site": "cross-site" })).toBe(200);
});

test("a log-out clears what the pages kept, and the cookies of its scheme", async () => {
  const { test: server } = await started("https://coder.example.com");
  await using _ = server;
  const body = { email: "ada@example.com", password: PASSWORD };
  const login = await send(server.url, "POST", `${api}/users/login`, { body });
  const [session, proof] = [login.headers["set-cookie"] ?? []].flat().map((line) => line.split(";")[0] ?? "");
  const answer = await send(server.url, "POST", `${api}/users/logout`, {
    headers: { Cookie: `${session}; ${proof}`, [CSRF_HEADER]: proof?.split("=")[1] ?? "", ...BROWSER },
  });
  expect(answer.status).toBe(200);
  expect(answer.headers["clear-site-data"]).toBe('"cache", "storage"');
  expect(answer.headers["set-cookie"]).toEqual([
    "__Host-coder_session=; HttpOnly; Path=/; Max-Age=0; SameSite=Lax; Secure",
    "__Host-csrf_token=; Path=/; Max-Age=0; SameSite=Strict; Secure",
  ]);
});
