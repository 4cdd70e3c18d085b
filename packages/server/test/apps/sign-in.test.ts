/** How a browser signs in to an app, and attempts that must fail. */
import { expect, test } from "vitest";
import { send } from "../helpers.ts";
import { type AppServer, cookieOf, pathOf, signIn, startApps } from "./helpers.ts";

const NAVIGATE = {
  Accept: "text/html",
  "Sec-Fetch-Mode": "navigate",
  "Sec-Fetch-Dest": "document",
  "Sec-Fetch-Site": "none",
};

async function started(): Promise<AppServer> {
  const apps = await startApps();
  await apps.program(8080, (request, response) => response.end(`program ${request.method} ${request.url}`));
  return apps;
}

/** All steps up to the ticket. */
async function ticketFor(apps: AppServer, host: string, path: string, token: string) {
  const first = await apps.send(host, path, { headers: NAVIGATE });
  const state = cookieOf(first);
  const decided = await apps.send(`127.0.0.1:${apps.test.port}`, pathOf(first.headers.location), { token });
  return { first, state, decided, target: pathOf(decided.headers.location) };
}

test("security S11: a path that a browser could read as another host remains a path of the app's host", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const { state, target } = await ticketFor(apps, host, "//evil.example/", apps.ada.token);
  const back = await apps.send(host, target, { headers: { ...NAVIGATE, Cookie: state } });
  expect([back.status, back.headers.location]).toEqual([303, `http://${host}//evil.example/`]);
  const stranger = await apps.send(host, target, { headers: NAVIGATE });
  expect([stranger.status, stranger.text.includes(`href="http://${host}//evil.example/"`)]).toEqual([400, true]);
});

test("a logged-in browser gets a session for one host, and the address that it requested", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const { first, state, decided, target } = await ticketFor(apps, host, "/a%2Fb?x=1&&y=%41", apps.ada.token);
  expect(first.status).toBe(303);
  expect(first.headers["set-cookie"]?.[0]).toMatch(
    /^coder_app_state=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=300$/,
  );
  expect(decided.status).toBe(303);
  expect(decided.headers).toMatchObject({ "cache-control": "no-store", "referrer-policy": "no-referrer" });
  expect(decided.headers["cross-origin-opener-policy"]).toBe("same-origin");
  expect(decided.headers.location).toMatch(
    new RegExp(`^http://${host}/a%2Fb\\?x=1&&y=%41&coder_application_connect_api_key_35e783=[\\w-]{100,140}$`),
  );
  const back = await apps.send(host, target, { headers: { ...NAVIGATE, Cookie: state } });
  expect([back.status, back.headers.location]).toEqual([303, `http://${host}/a%2Fb?x=1&&y=%41`]);
  expect(back.headers["set-cookie"]?.[0]).toMatch(
    /^coder_app_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=86400$/,
  );
  const session = { Cookie: cookieOf(back) };
  expect((await apps.send(host, "/x", { headers: session })).text).toBe("program GET /x");
  expect((await apps.send(apps.host(8081), "/x", { headers: session })).status).toBe(401);
  expect((await apps.send(`p---${host}`, "/x", { headers: session })).status).toBe(401);
  // It is not accepted at the main host.
  const me = await apps.send(`127.0.0.1:${apps.test.port}`, "/api/v2/users/me", { headers: session });
  expect(me.status).toBe(401);
});

test("a fetch, an event stream and a WebSocket without a session get 401 and an address, never a redirect", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  for (const headers of [
    { "Sec-Fetch-Mode": "cors" },
    { "Sec-Fetch-Mode": "no-cors" },
    { Accept: "text/event-stream" },
    {},
  ]) {
    const answer = await apps.send(host, "/api", { headers: headers as Record<string, string> });
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.text)).toEqual({
      message: "Sign in to this app first",
      detail: `Open http://${host}/ in the browser`,
      url: `http://${host}/`,
    });
    expect(answer.headers["coder-app-login"]).toBe(`http://${host}/`);
    expect(answer.headers.location).toBeUndefined();
  }
  const post = await apps.send(host, "/", { method: "POST", headers: NAVIGATE });
  expect(post.status).toBe(401);
});

test("security S10: a ticket works once", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const { state, target } = await ticketFor(apps, host, "/", apps.ada.token);
  const race = await Promise.all(
    Array.from({ length: 50 }, () => apps.send(host, target, { headers: { ...NAVIGATE, Cookie: state } })),
  );
  expect(race.filter(({ status }) => status === 303)).toHaveLength(1);
  for (const late of race.filter(({ status }) => status !== 303)) {
    expect([late.status, late.headers["set-cookie"]]).toEqual([400, undefined]);
    expect(late.text).toContain("made for another browser, or was used before");
  }
});

test("security S10: a ticket is refused in another browser, at another host, when late or guessed, and never reaches a program", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const other = apps.host(8081);
  const navigate = (cookie: string) => ({ headers: { ...NAVIGATE, Cookie: cookie === "" ? undefined : cookie } });
  const refused = async (at: string, target: string, cookie: string): Promise<void> => {
    const answer = await apps.send(at, target, navigate(cookie));
    expect([answer.status, answer.headers["set-cookie"]]).toEqual([400, undefined]);
  };
  const stranger = cookieOf(await apps.send(host, "/", navigate("")));
  for (const cookie of ["", stranger, "coder_app_state=", "coder_app_state=x"]) {
    const { target } = await ticketFor(apps, host, "/", apps.ada.token);
    await refused(host, target, cookie);
  }
  const { state, target } = await ticketFor(apps, host, "/", apps.ada.token);
  await refused(other, target, state);
  const prefixed = await ticketFor(apps, host, "/", apps.ada.token);
  await refused(`p---${host}`, prefixed.target, prefixed.state);
  const late = await ticketFor(apps, host, "/", apps.ada.token);
  apps.test.clock.advance(60_000);
  await refused(host, late.target, late.state);
  await refused(host, target.replace(/=[\w-]+$/, `=${"A".repeat(43)}`), state);
  await apps.test.server.parts.agentState.connected(apps.agentId, "2.0", "c");
  // A program never receives one, whatever the method.
  const posted = await apps.send(host, target, { method: "POST", token: apps.ada.token });
  expect(posted.text).toBe("program POST /");
});

test("security S10: a user without the right gets no ticket, and the same answer as for an app that does not exist", async () => {
  await using apps = await started();
  const denied = await ticketFor(apps, apps.host(8080), "/", apps.bob.token);
  const missing = await ticketFor(
    apps,
    `8080--main--none--owner.coder.localhost:${apps.test.port}`,
    "/",
    apps.bob.token,
  );
  expect(denied.decided.status).toBe(404);
  expect(denied.decided.text).toBe(missing.decided.text);
  expect(denied.decided.headers.location).toBeUndefined();
});

test("someone who is not logged in is sent to the login, which leads back", async () => {
  await using apps = await started();
  const first = await apps.send(apps.host(8080), "/", { headers: NAVIGATE });
  const path = pathOf(first.headers.location);
  const answer = await apps.send(`127.0.0.1:${apps.test.port}`, path, { headers: NAVIGATE });
  expect([answer.status, answer.headers.location]).toEqual([303, `/login?redirect=${encodeURIComponent(path)}`]);
  const framed = await apps.send(`127.0.0.1:${apps.test.port}`, path, { headers: { "Sec-Fetch-Dest": "iframe" } });
  expect(framed.status).toBe(403);
});

test("security S11: a sign-in leads back to an app of this deployment and nowhere else", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const { port } = apps.test;
  const name = "8080--main--dev--owner.coder.localhost";
  const state = "a".repeat(43);
  const ask = (redirectUri: string) =>
    send(
      apps.test.url,
      "GET",
      `/api/v2/applications/auth-redirect?${new URLSearchParams({ redirect_uri: redirectUri, state })}`,
      { token: apps.ada.token },
    );
  expect((await ask(`http://${host}/`)).status).toBe(303);
  const elsewhere = [
    "", "/", "//evil.example/", "/\\evil.example", "\t//evil.example/", "javascript:alert(1)", "data:text/html,x", "http:", "http:///",
    "http://evil.example/", "https://evil.example/", `https://${host}/`, `HTTPS://${host}/`, `http://${name}/`, `http://${name}:80/`,
    `http://${name}:${port + 1}/`, `http://${host}`, `http://${host}/#fragment`, `http://user@${host}/`, `http://user:x@${host}/`,
    `http://evil.example@${host}/`, `http://${host}@evil.example/`, `http://${host}\\@evil.example/`, `http:\\\\${host}/`,
    `http:/${host}/`, `http:${host}/`, ` http://${host}/`, `http://${host}/ x`, `http://${host}/\u0000`, `http://${host}/\r\nX: y`,
    `http://${host}/ü`, `http://evil.example/?${host}/`, `http://evil.example%2f.coder.localhost:${port}/`,
    `http://evil.example%2F@${host}/`, `http://x.${host}/`, `http://coder.localhost:${port}/`, `http://.coder.localhost:${port}/`,
    `http://${name}.evil.net:${port}/`, `http://${name}.:${port}/`, `http://8080--main--dev--ownercoder.localhost:${port}/`,
    `http://8080--main.coder.localhost:${port}/`, `http://1--main--dev--owner.coder.localhost:${port}/`, `http://127.0.0.1:${port}/`,
    `http://localhost:${port}/`, `http://[::1]:${port}/`, `http://2130706433:${port}/`, `http://０.coder.localhost:${port}/`,
    `http://8080--main--dev--owner。coder.localhost:${port}/`, `ftp://${host}/`, `ws://${host}/`, `blob:http://${host}/`,
    `view-source:http://${host}/`, `http://${name}:${port}0/`, `http://${name}:0${port}x/`, `http://${name}:/`, `\\\\${host}/`,
    `http://${host}/\\..`, "http://%68ost/", `http://${name.replace(".", "%2e")}:${port}/`, `//${host}/`, `/${host}/`,
  ]; // biome-ignore format: a table of addresses
  for (const redirectUri of elsewhere) {
    const answer = await ask(redirectUri);
    expect([redirectUri, answer.status, answer.headers["location"]]).toEqual([redirectUri, 400, undefined]);
  }
  expect(elsewhere.length).toBeGreaterThanOrEqual(60);
  const bad = await send(
    apps.test.url,
    "GET",
    `/api/v2/applications/auth-redirect?redirect_uri=http://${host}/&state=x`,
    {
      token: apps.ada.token,
    },
  );
  expect(bad.status).toBe(400);
});

test("security S7: a page of another app cannot use a visitor's session", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const cookie = await signIn(apps, host, apps.ada.token);
  const evil = `http://8080--main--x--bob.coder.localhost:${apps.test.port}`;
  const attempts: [string, Record<string, string>][] = [
    [
      "POST",
      { Origin: evil, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" },
    ],
    ["POST", { Origin: evil, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty" }],
    ["GET", { Origin: evil, "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty" }],
    ["GET", { "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image" }],
    ["GET", { "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script" }],
    ["GET", { "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "serviceworker" }],
    [
      "POST",
      { Origin: "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe" },
    ],
    ["POST", {}],
  ];
  for (const [method, headers] of attempts) {
    const answer = await apps.send(host, "/", { method, headers: { ...headers, Cookie: cookie } });
    expect([headers, answer.status, answer.headers["access-control-allow-origin"]]).toEqual([headers, 401, undefined]);
  }
  expect(apps.dialled).toEqual([]);
  const preflight = { Origin: evil, "Access-Control-Request-Method": "POST" };
  expect((await apps.send(host, "/", { method: "OPTIONS", headers: preflight })).status).toBe(403);
});

test("pages of the same owner's apps may use the visitor's session, and read the answers", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const cookie = await signIn(apps, host, apps.ada.token);
  const sibling = `http://${apps.host(3000)}`;
  const fetched = {
    Origin: sibling,
    "Sec-Fetch-Site": "same-site",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Dest": "empty",
  };
  const answer = await apps.send(host, "/api", { method: "PUT", headers: { ...fetched, Cookie: cookie } });
  expect([answer.status, answer.text]).toEqual([200, "program PUT /api"]);
  expect(answer.headers).toMatchObject({
    "access-control-allow-origin": sibling,
    "access-control-allow-credentials": "true",
    vary: "Origin",
  });
  const preflight = {
    Origin: sibling,
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "x-a",
  };
  const granted = await apps.send(host, "/api", { method: "OPTIONS", headers: preflight });
  expect([granted.status, granted.headers["access-control-allow-methods"]]).toEqual([204, "PUT"]);
  const anonymous = await apps.send(host, "/api", { headers: fetched });
  expect([anonymous.status, anonymous.headers["access-control-allow-origin"]]).toEqual([401, sibling]);
});

test("security S9: no log line and no answer holds a token, a ticket or a session", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const { state, target } = await ticketFor(apps, host, "/", apps.ada.token);
  const back = await apps.send(host, target, { headers: { ...NAVIGATE, Cookie: state } });
  const session = cookieOf(back).split("=")[1]!;
  await apps.send(host, `/?coder_session_token=${apps.ada.token}`, { headers: { Cookie: cookieOf(back) } });
  await apps.send(apps.host(7777), `/?coder_session_token=${apps.ada.token}`, { token: apps.ada.token });
  const ticket = target.split("=")[1]!;
  expect(ticket.length).toBeGreaterThan(100);
  for (const secret of [apps.ada.token, ticket, session, state.split("=")[1]!])
    expect(apps.test.log.text).not.toContain(secret);
  // A token in a query grants nothing.
  const queried = await apps.send(host, `/?coder_session_token=${apps.ada.token}`);
  expect(queried.status).toBe(401);
});

test("a wrong token in a header is refused rather than passed on", async () => {
  await using apps = await started();
  const wrong = `${"a".repeat(10)}-${"b".repeat(22)}`;
  expect((await apps.send(apps.host(8080), "/", { token: wrong })).status).toBe(401);
  expect((await apps.send(apps.host(8080), "/", { headers: { Authorization: `Bearer ${wrong}` } })).status).toBe(401);
  const bearer = await apps.send(apps.host(8080), "/", { headers: { Authorization: `Bearer ${apps.ada.token}` } });
  expect(bearer.status).toBe(200);
});

test.each([
  ["8 KiB", 8 * 1024, "x"],
  ["32 KiB", 31 * 1024, "x"],
  ["16 KiB of escapes", 5 * 1024, "%20"],
])("an address of %s survives the sign-in, with a login and without", async (_, count, text) => {
  await using apps = await started();
  const host = apps.host(8080);
  const path = `/page?q=${text.repeat(count)}&r=1`;
  const main = `127.0.0.1:${apps.test.port}`;
  const { first, state, decided, target } = await ticketFor(apps, host, path, apps.ada.token);
  expect([first.status, decided.status]).toEqual([303, 303]);
  const back = await apps.send(host, target, { headers: { ...NAVIGATE, Cookie: state } });
  expect([back.status, back.headers.location === `http://${host}${path}`]).toEqual([303, true]);
  // A browser without a login keeps the address of the sign-in in the fragment of the login page.
  const login = await apps.send(main, pathOf(first.headers.location), { headers: NAVIGATE });
  const { pathname, hash } = new URL(login.headers.location ?? "", `http://${main}`);
  expect([login.status, pathname]).toEqual([303, "/login"]);
  expect(new URLSearchParams(hash.slice(1)).get("redirect")).toBe(pathOf(first.headers.location));
});

test("an address that is too long for a sign-in is explained, and other long addresses are refused as before", async () => {
  await using apps = await started();
  const host = apps.host(8080);
  const main = `127.0.0.1:${apps.test.port}`;
  for (const path of [`/?${"x".repeat(32 * 1024 - 100)}`, `/?${"&".repeat(20_000)}`]) {
    const told = await apps.send(host, path, { headers: NAVIGATE });
    expect([told.status, told.text.includes(`href="http://${host}/"`)]).toEqual([414, true]);
    expect(told.text).toContain("Sign in at the start page of the application");
  }
  const longer = (path: string) =>
    apps.send(main, `${path}?redirect_uri=${"x".repeat(9 * 1024)}`, { headers: NAVIGATE });
  expect((await longer("/api/v2/applications/host")).status).toBe(414);
  expect((await longer("/api/v2/applications/auth-redirect/")).status).toBe(414);
});
