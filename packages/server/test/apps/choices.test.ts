/**
 * An owner's settings for a program: cross-origin rules, the apps to which its sign-in also signs in, and whether it receives the
 * visitor's identity.
 */
import { expect, test } from "vitest";
import { appAlias } from "../../src/base/app-alias.ts";
import { addMember, addWorkspace, login } from "../helpers.ts";
import { type AppServer, cookieOf, pathOf, signIn, startApps } from "./helpers.ts";

const TOOLS = "https://tools.example.com";
const NAVIGATE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };

async function share(
  apps: AppServer,
  port: number,
  body: object,
  { workspaceId, token } = { workspaceId: apps.workspaceId, token: apps.ada.token },
): Promise<void> {
  const answer = await apps.send(`127.0.0.1:${apps.test.port}`, `/api/v2/workspaces/${workspaceId}/port-share`, {
    method: "POST",
    token,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ agent_name: "main", port, ...body }),
  });
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining(`"port":${port}`)]);
}

async function echo(apps: AppServer, port: number): Promise<string[]> {
  const seen: string[] = [];
  await apps.program(port, (request, response) => {
    seen.push(`${request.method} ${request.headers["x-coder-username"] ?? "anonymous"}`);
    response.setHeader("Access-Control-Allow-Origin", "https://program.example");
    response.end("program");
  });
  return seen;
}

test("security S7: passthru lets a program answer other origins, and lets a listed one use the visitor's session", async () => {
  await using apps = await startApps();
  const seen = await echo(apps, 8080);
  const choices = { cors: "passthru", cors_origins: [TOOLS], identity_headers: true };
  await share(apps, 8080, { share_level: "authenticated" });
  const host = apps.host(8080);
  const cookie = await signIn(apps, host, apps.bob.token);
  await share(apps, 8080, { share_level: "public", ...choices });
  const page = (origin: string, more: Record<string, string> = {}) =>
    apps.send(host, "/", {
      headers: { Cookie: cookie, Origin: origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", ...more },
    });
  seen.length = 0;
  const listed = await page(TOOLS);
  expect(listed.headers["access-control-allow-origin"]).toBe("https://program.example");
  await page("https://evil.example");
  await apps.send(host, "/", { headers: { Cookie: cookie } });
  expect(seen).toEqual(["GET bob", "GET anonymous", "GET bob"]);

  const preflight = (origin: string) =>
    apps.send(host, "/", { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "PUT" } });
  seen.length = 0;
  expect((await preflight("https://evil.example")).text).toBe("program");
  expect(seen).toEqual(["OPTIONS anonymous"]);

  // Below the level "public" the server answers preflights itself, and the program receives none.
  await share(apps, 8080, { share_level: "authenticated", ...choices });
  expect((await preflight("https://evil.example")).status).toBe(403);
  const granted = await preflight(TOOLS);
  expect([granted.status, granted.headers["access-control-allow-origin"]]).toEqual([204, TOOLS]);
  const refused = await page("https://evil.example");
  expect([refused.status, refused.headers["access-control-allow-origin"]]).toEqual([401, undefined]);
  expect((await page(TOOLS)).status).toBe(200);
  expect(seen).toEqual(["OPTIONS anonymous", "GET bob"]);

  // The server's own answers are readable by the same pages as the program's.
  const readable = { "access-control-allow-origin": TOOLS, "access-control-allow-credentials": "true", vary: "Origin" };
  const url = `http://${host}/`;
  for (const headers of [{ Cookie: "" }, { "Coder-Session-Token": "wrong" }]) {
    const unknown = await page(TOOLS, headers);
    expect([unknown.status, unknown.headers]).toMatchObject([401, { ...readable, "coder-app-login": url }]);
  }
  await share(apps, 8090, { share_level: "authenticated", ...choices });
  const headers = { Origin: TOOLS, "Sec-Fetch-Site": "cross-site" };
  const silent = await apps.send(apps.host(8090), "/", { token: apps.bob.token, headers });
  expect([silent.status, silent.headers]).toMatchObject([502, readable]);
});

test("security S7: with simple rules no other origin has a session or a readable answer", async () => {
  await using apps = await startApps();
  const seen = await echo(apps, 8080);
  await share(apps, 8080, { share_level: "authenticated" });
  const cookie = await signIn(apps, apps.host(8080), apps.bob.token);
  await share(apps, 8080, { share_level: "public", cors_origins: [TOOLS], identity_headers: true });
  seen.length = 0;
  const headers = { Cookie: cookie, Origin: TOOLS, "Sec-Fetch-Site": "cross-site" };
  const answer = await apps.send(apps.host(8080), "/", { headers });
  expect(answer.headers["access-control-allow-origin"]).toBeUndefined();
  expect(seen).toEqual(["GET anonymous"]);
});

test("security S4: a program receives the visitor's identity only if its owner chose so, and never from the client", async () => {
  await using apps = await startApps();
  let named: unknown;
  await apps.program(8080, (request, response) => {
    named = Object.entries(request.headers).filter(([name]) => name.startsWith("x-coder-"));
    response.end();
  });
  const forged = { "X-Coder-Username": "admin", "X-Coder-Email": "x@example.com" };
  const ask = async (token?: string): Promise<unknown> => {
    await apps.send(apps.host(8080), "/", { headers: forged, token });
    return named;
  };
  await share(apps, 8080, { share_level: "public" });
  expect(await ask(apps.bob.token)).toEqual([]);
  await share(apps, 8080, { share_level: "public", identity_headers: true });
  expect(await ask(apps.bob.token)).toEqual([
    ["x-coder-username", "bob"],
    ["x-coder-user-id", apps.bob.id],
    ["x-coder-email", "bob@example.com"],
  ]);
  expect(await ask()).toEqual([]);
});

test("a user's new name applies from the next request on, to programs and in host names", async () => {
  await using apps = await startApps();
  const seen = await echo(apps, 8080);
  await share(apps, 8080, { share_level: "authenticated", identity_headers: true });
  const status = async (host: string): Promise<number> =>
    (await apps.send(host, "/", { token: apps.bob.token })).status;
  const rename = async (token: string, username: string): Promise<number> => {
    const options = { method: "PUT", token, headers: { "Content-Type": "application/json" } };
    const body = JSON.stringify({ username, name: "" });
    return (await apps.send(`127.0.0.1:${apps.test.port}`, "/api/v2/users/me/profile", { ...options, body })).status;
  };
  const renamed = apps.host(8080).replace("--owner.", "--keeper.");
  expect([await status(apps.host(8080)), await status(renamed)]).toEqual([200, 404]);
  expect(await rename(apps.bob.token, "robert")).toBe(200);
  expect(await status(apps.host(8080))).toBe(200);
  expect(seen).toEqual(["GET bob", "GET robert"]);
  expect(await rename(apps.ada.token, "keeper")).toBe(200);
  expect([await status(apps.host(8080)), await status(renamed)]).toEqual([404, 200]);
});

/** Acts like a browser on the answers of a sign-in: follows each redirect with the cookies of the host. */
async function browse(apps: AppServer, url: string, token: string) {
  const cookies = new Map<string, string>();
  const hosts: string[] = [];
  for (let steps = 0; steps < 20; steps++) {
    const { host, hostname } = new URL(url);
    const main = hostname === "coder.localhost";
    if (!main && hosts.at(-1) !== host) hosts.push(host);
    const jar = Array.from(cookies).flatMap(([key, value]) => (key.startsWith(`${host} `) ? [value] : []));
    const headers = { ...NAVIGATE, Cookie: jar.length === 0 ? undefined : jar.join("; ") };
    const answer = await apps.send(host, pathOf(url), { headers, token: main ? token : undefined });
    for (const line of answer.headers["set-cookie"] ?? []) {
      const pair = line.split(";")[0] ?? "";
      const key = `${host} ${pair.split("=")[0]}`;
      if (/Max-Age=0\b/.test(line)) cookies.delete(key);
      else cookies.set(key, pair);
    }
    if (answer.headers.location === undefined) return { answer, hosts, url };
    url = new URL(answer.headers.location, url).href;
  }
  throw new Error("the sign-in does not end");
}

test("a sign-in also signs in to the apps that the app declares beside itself, and ends at the requested address", async () => {
  await using apps = await startApps();
  for (const port of [8080, 8081, 8082, 8083]) await echo(apps, port);
  await share(apps, 8080, { share_level: "authenticated", also: ["8081", "8082", "8083", "8080", "nothing"] });
  await share(apps, 8081, { share_level: "authenticated" });
  await share(apps, 8083, { share_level: "authenticated" });
  const start = `http://${apps.host(8080)}/page?a=1&b=%2F`;
  const bob = await browse(apps, start, apps.bob.token);
  expect([bob.url, bob.answer.text]).toEqual([start, "program"]);
  // Bob may not use 8082, so it is left out.
  expect(bob.hosts).toEqual([8080, 8081, 8083, 8080].map((port) => apps.host(port)));
  const ada = await browse(apps, start, apps.ada.token);
  expect(ada.hosts).toEqual([8080, 8081, 8082, 8083, 8080].map((port) => apps.host(port)));
});

test("a name that is too long for a host is reached by the agent's alias in a sign-in as well", async () => {
  await using apps = await startApps();
  const long = await addMember(apps.test.url, apps.admin.token, "o".repeat(17));
  const workspace = await addWorkspace(apps.test.url, long.token, "w".repeat(32));
  const agentId: string = workspace.latest_build.resources[0].agents[0].id;
  await apps.test.server.parts.agentState.connected(agentId, "2.0", "c");
  for (const port of [8080, 18_081]) {
    await echo(apps, port);
    const body = { share_level: "authenticated", also: port === 8080 ? ["18081"] : [] };
    await share(apps, port, body, { workspaceId: workspace.id, token: long.token });
  }
  const suffix = `.coder.localhost:${apps.test.port}`;
  const host = `8080--main--${"w".repeat(32)}--${"o".repeat(17)}${suffix}`;
  const visited = await browse(apps, `http://${host}/page`, apps.bob.token);
  expect([visited.url, visited.answer.text]).toEqual([`http://${host}/page`, "program"]);
  const alias = `--${appAlias(agentId)}${suffix}`;
  expect(visited.hosts).toEqual([host, `18081${alias}`, host]);
  // If an app is named by the alias, so are the apps beside it.
  const byAlias = await browse(apps, `http://8080${alias}/`, apps.bob.token);
  expect(byAlias.hosts).toEqual([`8080${alias}`, `18081${alias}`, `8080${alias}`]);
});

test("a chain continues if a host has a session of an older login of the same user", async () => {
  await using apps = await startApps();
  for (const port of [8080, 8081]) await echo(apps, port);
  await share(apps, 8080, { share_level: "authenticated", also: ["8081"] });
  await share(apps, 8081, { share_level: "authenticated" });
  const older = await signIn(apps, apps.host(8081), apps.bob.token);
  const token = await login(apps.test.url, "bob@example.com");
  const first = await apps.send(apps.host(8080), "/", { headers: NAVIGATE });
  const decided = await apps.send(`127.0.0.1:${apps.test.port}`, pathOf(first.headers.location), { token });
  const back = await apps.send(apps.host(8080), pathOf(decided.headers.location), {
    headers: { ...NAVIGATE, Cookie: cookieOf(first) },
  });
  const followed = await apps.send(apps.host(8081), pathOf(back.headers.location), {
    headers: { ...NAVIGATE, Cookie: older },
  });
  expect([followed.status, followed.headers.location]).toEqual([303, `http://${apps.host(8080)}/`]);
});

test("security S10: a chain is valid for one user, at its hosts in their order, for a minute", async () => {
  await using apps = await startApps();
  for (const port of [8080, 8081]) await echo(apps, port);
  await share(apps, 8080, { share_level: "authenticated", also: ["8081"] });
  await share(apps, 8081, { share_level: "authenticated" });
  const begin = async (): Promise<string> => {
    const first = await apps.send(apps.host(8080), "/", { headers: NAVIGATE });
    const decided = await apps.send(`127.0.0.1:${apps.test.port}`, pathOf(first.headers.location), {
      token: apps.bob.token,
    });
    const back = await apps.send(apps.host(8080), pathOf(decided.headers.location), {
      headers: { ...NAVIGATE, Cookie: cookieOf(first) },
    });
    return back.headers.location ?? "";
  };
  const path = pathOf(await begin());
  expect(path).toMatch(/^\/\.coder\/chain\/[A-Za-z0-9_-]{40,}$/);
  const at = async (what: number, options: object, chain = path): Promise<number> =>
    (await apps.send(apps.host(what), chain, options)).status;
  expect(await at(8080, { headers: NAVIGATE })).toBe(404);
  expect(await at(8081, { headers: NAVIGATE }, `${path.slice(0, -1)}_`)).toBe(404);
  expect(await at(8081, { headers: { "Sec-Fetch-Mode": "cors" } })).toBe(401);
  const stranger = await signIn(apps, apps.host(8081), apps.ada.token);
  expect(await at(8081, { headers: { ...NAVIGATE, Cookie: stranger } })).toBe(404);
  const own = await signIn(apps, apps.host(8081), apps.bob.token);
  const followed = await apps.send(apps.host(8081), path, { headers: { ...NAVIGATE, Cookie: own } });
  expect([followed.status, followed.headers.location]).toEqual([303, `http://${apps.host(8080)}/`]);
  const late = pathOf(await begin());
  apps.test.clock.advance(60_000);
  expect(await at(8081, { headers: { ...NAVIGATE, Cookie: own } }, late)).toBe(404);
  for (const reserved of ["/.coder", "/.coder/", "/.coder/x", "/.coder/chain/", "/.coder?x"])
    expect([reserved, await at(8080, { token: apps.ada.token }, reserved)]).toEqual([reserved, 404]);
});
