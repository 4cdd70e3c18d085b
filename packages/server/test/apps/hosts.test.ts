/** Which host names lead to programs, and that the server serves nothing else there. */
import { expect, test } from "vitest";
import { openSocket } from "../helpers.ts";
import { raw, startApps } from "./helpers.ts";

const ROUTES = [
  "/", "/healthz", "/latency-check", "/derp", "/derp/latency-check", "/derp/probe", "/cli-auth", "/login", "/install.sh",
  "/install.ps1", "/bin/coder-linux-amd64", "/api/v2", "/api/v2/buildinfo", "/api/v2/users/me", "/api/v2/users/first",
  "/api/v2/workspaces", "/api/v2/debug/health", "/api/v2/deployment/config", "/api/v2/regions",
  "/api/v2/applications/host", "/api/v2/applications/auth-redirect", "/api/v2/derp-map", "/api/v2/tailnet",
  "/api/v2/workspaceagents/me/rpc", "/metrics", "/.well-known/security.txt",
]; // biome-ignore format: a list of paths

test("security S5: on an app host every path and method reaches the program, and nothing of the server", async () => {
  await using apps = await startApps();
  await apps.program(8080, (request, response) => response.end(`program ${request.method} ${request.url}`));
  const host = apps.host(8080);
  for (const path of ROUTES) {
    const answer = await apps.send(host, path, { token: apps.ada.token });
    expect([path, answer.status, answer.text]).toEqual([path, 200, `program GET ${path}`]);
    expect(Object.keys(answer.headers).sort()).toEqual(["connection", "content-length", "date"]);
  }
  for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"]) {
    const answer = await apps.send(host, "/api/v2/users/logout", { method, token: apps.ada.token });
    expect(answer.text).toBe(`program ${method} /api/v2/users/logout`);
  }
  // The token still works, so no log-out happened.
  const me = await apps.send(`127.0.0.1:${apps.test.port}`, "/api/v2/users/me", { token: apps.ada.token });
  expect(me.status).toBe(200);
});

test("security S5: on an app host no upgrade of the server answers", async () => {
  await using apps = await startApps();
  const seen: (string | undefined)[] = [];
  const program = await apps.program(8080, (_request, response) => response.end());
  program.on("upgrade", (request, socket) => {
    seen.push(request.url);
    socket.end("HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n");
  });
  const paths = [
    `/api/v2/workspaceagents/${apps.agentId}/coordinate?version=2.0`,
    `/api/v2/workspaceagents/${apps.agentId}/pty?reconnect=${apps.agentId}`,
    "/api/v2/tailnet?version=2.0",
    "/api/v2/derp-map",
    "/derp",
  ];
  for (const path of paths) {
    const headers = { Host: apps.host(8080), "Coder-Session-Token": apps.ada.token };
    expect(await openSocket(apps.test.url, path, headers)).toMatchObject({ status: 418 });
  }
  expect(seen).toEqual(paths);
});

test("security S5: the server's own names lead to no program", async () => {
  await using apps = await startApps();
  await apps.program(8080, (_request, response) => response.end("program"));
  for (const host of [`127.0.0.1:${apps.test.port}`, "localhost"]) {
    const answer = await apps.send(host, "/@owner/dev/apps/8080/", { token: apps.ada.token });
    expect(answer.status).toBe(403);
  }
  expect(apps.dialled).toEqual([]);
});

test("security S6: the meaning of Host headers", async () => {
  await using apps = await startApps();
  await apps.program(8080, (request, response) => response.end(`program ${request.headers.host}`));
  const name = "8080--main--dev--owner.coder.localhost";
  const ask = (head: string): Promise<string> =>
    raw(apps.test.port, `${head}\r\nCoder-Session-Token: ${apps.ada.token}\r\nConnection: close\r\n\r\n`);
  const get = (...hosts: string[]): Promise<string> =>
    ask(["GET /healthz HTTP/1.1", ...hosts.map((host) => `Host: ${host}`)].join("\r\n"));
  const status = (answer: string): string => answer.split(" ")[1] ?? "";

  for (const host of [name, `${name}:1`, `${name}.`, `${name}.:65535`, name.toUpperCase()])
    expect(await get(host), host).toContain(`program ${host}`);
  for (const host of ["127.0.0.1", "localhost", "localhost.", "coder.localhost"])
    expect(await get(host), host).toMatch(/\r\n\r\nOK$/);
  for (const host of [
    `${name}.evil.net`,
    `${name}..`,
    `x.${name}`,
    "8080--main--dev--ownercoder.localhost",
    ".coder.localhost",
    "evil.example",
    `user@${name}`,
    `${name}:x`,
    `${name}/x`,
    `${name},localhost`,
  ])
    expect([host, status(await get(host))]).toEqual([host, "421"]);
  expect(status(await get(name, "localhost"))).toBe("400");
  expect(status(await get("localhost", name))).toBe("400");
  expect(status(await get(name, name))).toBe("400");
  expect(status(await get())).toBe("400");
  // A target with a host of its own takes the place of the header.
  expect(status(await ask(`GET http://localhost/healthz HTTP/1.1\r\nHost: ${name}`))).toBe("200");
  expect(await ask(`GET http://${name}/ HTTP/1.1\r\nHost: localhost`)).toBe(await get(name));
  expect(status(await ask("GET http://evil.example/ HTTP/1.1\r\nHost: localhost"))).toBe("421");
  expect(apps.dialled.every(({ agentId, port }) => agentId === apps.agentId && port === 8080)).toBe(true);
});

test.each([
  ["8--main--dev--owner", 400, "Ports below 9 are reserved"],
  ["08080--main--dev--owner", 400, "Invalid Application URL"],
  ["nothing", 400, "Invalid Application URL"],
  ["8080--main--dev--me", 404, "not @me."],
])("the label %s is answered %i", async (label, status, text) => {
  await using apps = await startApps();
  const answer = await apps.send(`${label}.coder.localhost`, "/", { token: apps.ada.token });
  expect([answer.status, answer.text.includes(text)]).toEqual([status, true]);
});

test("without a wildcard access URL there are no app hosts", async () => {
  await using apps = await startApps({ flags: { "wildcard-access-url": "" } });
  const answer = await apps.send(apps.host(8080), "/", { token: apps.ada.token });
  expect(answer.status).toBe(421);
  const host = await apps.send(`127.0.0.1:${apps.test.port}`, "/api/v2/applications/host", { token: apps.ada.token });
  expect(host.text).toBe('{"host":""}');
});

test("clients are shown the wildcard with its effective port", async () => {
  await using apps = await startApps();
  const answer = await apps.send(`127.0.0.1:${apps.test.port}`, "/api/v2/applications/host", { token: apps.ada.token });
  expect(answer.text).toBe(`{"host":"*.coder.localhost:${apps.test.port}"}`);
});

test("security S2: a cookie is accepted by its exact name, and two with one name count as none", async () => {
  await using apps = await startApps();
  const { token } = apps.ada;
  const me = async (cookie: string): Promise<string> => {
    const head = `GET /api/v2/users/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${cookie}\r\n\r\n`;
    return (await raw(apps.test.port, head)).split(" ")[1] ?? "";
  };
  const name = "coder_session_token";
  expect(await me(`Cookie: ${name}=${token}`)).toBe("200");
  expect(await me(`Cookie: \t ${name} \t=\t${token} ; x=y`)).toBe("200");
  for (const prefix of ["\u00a0", "\u0085", "\u00e2\u0080\u0080", "\u00c2\u00a0", "\f", "x", "$"])
    expect([prefix, await me(`Cookie: ${prefix}${name}=${token}`)]).toEqual([
      prefix,
      expect.stringMatching(/^40[01]$/),
    ]);
  expect(await me(`Cookie: $Version=1; ${name.toUpperCase()}=${token}`)).toBe("401");
  for (const pair of [
    `${name}=evil; ${name}=${token}`,
    `${name}=${token}; ${name}=evil`,
    `${name}=${token}; ${name}=${token}`,
  ])
    expect(await me(`Cookie: ${pair}`)).toBe("401");
  expect(await me(`Cookie: ${name}=${token}\r\nCookie: ${name}=evil`)).toBe("401");
});
