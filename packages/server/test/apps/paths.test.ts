/** Apps below a path of the deployment's own host. */
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { send } from "../helpers.ts";
import { type AppServer, startApps } from "./helpers.ts";

const PATHS = { "disable-path-apps": "false" };
const BASE = "/@owner/dev/apps/web";

async function started(flags: Record<string, string> = PATHS): Promise<AppServer> {
  const apps = await startApps({ flags });
  await apps.program(8080, (request, response) => {
    response.setHeader("Set-Cookie", ["own=1; Path=/", "coder_session_token=evil", "csrf_token=evil"]);
    response.setHeader("Service-Worker-Allowed", "/");
    response.setHeader("Clear-Site-Data", '"cookies"');
    response.end(
      JSON.stringify({ url: request.url, cookie: request.headers.cookie ?? "", host: request.headers.host }),
    );
  });
  await add(apps, { slug: "web", url: "http://127.0.0.1:8080" });
  return apps;
}

const add = (apps: AppServer, body: object) =>
  send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, { token: apps.ada.token, body });

const main = (apps: AppServer): string => `127.0.0.1:${apps.test.port}`;
const get = (apps: AppServer, path: string, options = {}) =>
  apps.send(main(apps), path, { token: apps.ada.token, ...options });

test("an app is served below its path, which is forwarded unchanged", async () => {
  await using apps = await started();
  const urlOf = async (path: string) => JSON.parse((await get(apps, path)).text).url;
  expect(await urlOf(`${BASE}/`)).toBe("/");
  expect(await urlOf(`/%40owner/dev.main/apps/web/a?b=c`)).toBe("/a?b=c");
  expect(await urlOf(`${BASE}/a/../%2e%2e//b%2Fc;d?x=%00&coder_session_token=x`)).toBe("/a/../%2e%2e//b%2Fc;d?x=%00");
  const moved = await get(apps, `${BASE}?folder=/x`);
  expect([moved.status, moved.headers.location]).toEqual([307, `${BASE}/?folder=/x`]);
  await add(apps, { slug: "editor", url: "http://127.0.0.1:8080/base?folder=/home/dev" });
  const first = await get(apps, "/@owner/dev/apps/editor/");
  expect([first.status, first.headers.location]).toEqual([307, "/@owner/dev/apps/editor/?folder=/home/dev"]);
  expect(await urlOf("/@owner/dev/apps/editor/?folder=/home/dev")).toBe("/base/?folder=/home/dev");
});

test.each<[string, number, string]>([
  ["/@owner/dev/apps/none/", 404, "Application Not Found"],
  ["/@owner/none/apps/web/", 404, "Application Not Found"],
  ["/@none/dev/apps/web/", 404, "Application Not Found"],
  ["/@owner/dev.none/apps/web/", 404, "Application Not Found"],
  ["/@me/dev/apps/web/", 404, "Application Not Found"],
  ["/@owner/dev/apps/3000/", 404, "Ports need a wildcard access URL"],
  ["/@owner/dev/apps/8443s", 404, "Ports need a wildcard access URL"],
  ["/@owner/%2e%2e/apps/web/", 400, "Invalid Application URL"],
  ["/@owner/dev/apps/web%2f..%2fx/", 400, "Invalid Application URL"],
  ["/@owner/dev/apps/web;x/", 400, "Invalid Application URL"],
  ["/@owner/dev/apps/web/?coder_application_connect_api_key_35e783=x", 400, "Sign-In Link Not Valid"],
])("security S19: %s answers %i", async (path, status, title) => {
  await using apps = await started();
  const answer = await get(apps, path);
  expect([answer.status, JSON.parse(answer.text).message]).toEqual([status, title]);
});

test("security S4, S26: cookies of the deployment pass in neither direction, and no worker is registered", async () => {
  await using apps = await started();
  const answer = await apps.send(main(apps), `${BASE}/`, {
    headers: {
      Cookie: `a=b; coder_session_token=${apps.ada.token}; csrf_token=x; oauth_state=y; __Host-csrf_token=z`,
      "Sec-Fetch-Site": "same-origin",
    },
  });
  expect([answer.status, JSON.parse(answer.text).cookie]).toEqual([200, "a=b"]);
  expect(answer.headers["set-cookie"]).toEqual(["own=1; Path=/"]);
  expect(answer.headers).not.toHaveProperty("service-worker-allowed");
  expect(answer.headers).not.toHaveProperty("clear-site-data");
  expect(answer.headers).not.toHaveProperty("content-security-policy");
  expect(answer.headers["referrer-policy"]).toBe("same-origin");
  const worker = await get(apps, `${BASE}/sw.js`, { headers: { "Service-Worker": "script" } });
  expect(worker.status).toBe(403);
});

test("security S7: pages of other origins use a path app anonymously", async () => {
  await using apps = await started();
  const cookie = { Cookie: `coder_session_token=${apps.ada.token}` };
  const status = async (headers: Record<string, string>, method = "GET") =>
    (await apps.send(main(apps), `${BASE}/`, { method, headers: { ...cookie, ...headers } })).status;
  expect(await status({ "Sec-Fetch-Site": "same-origin" }, "POST")).toBe(200);
  expect(await status({ "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image" })).toBe(
    401,
  );
  expect(
    await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe" }),
  ).toBe(303);
  expect(
    await status({ "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" }),
  ).toBe(200);
  expect(await status({ Origin: "http://evil.example" }, "POST")).toBeGreaterThanOrEqual(401);
  expect(await status({ Origin: apps.test.url }, "POST")).toBe(200);
  expect(await status({ Origin: "http://evil.example", "Access-Control-Request-Method": "POST" }, "OPTIONS")).toBe(403);
  expect(await status({}, "POST")).toBe(401);
});

test("a visitor without a login is sent to the login, and programs get 401", async () => {
  await using apps = await started();
  const person = await apps.send(main(apps), `${BASE}/x?y`, { headers: { "Sec-Fetch-Mode": "navigate" } });
  expect([person.status, person.headers.location]).toEqual([
    303,
    `/login?redirect=${encodeURIComponent(`${BASE}/x?y`)}`,
  ]);
  const program = await apps.send(main(apps), `${BASE}/x`, {});
  expect([program.status, program.headers["coder-app-login"]]).toEqual([401, `http://${main(apps)}${BASE}/`]);
});

test("path apps are disabled if a wildcard is set, and enabled without one", async () => {
  for (const [flags, status] of [
    [{}, 403],
    [{ "wildcard-access-url": "" }, 200],
    [{ "wildcard-access-url": "", "disable-path-apps": "true" }, 403],
    [PATHS, 200],
  ] as const) {
    await using apps = await started(flags);
    expect([flags, (await get(apps, `${BASE}/`)).status]).toEqual([flags, status]);
  }
});

test("a WebSocket of an app below a path needs a page of the deployment", async () => {
  await using apps = await started();
  const sockets = new WebSocketServer({ noServer: true });
  const program = await apps.program(9000, (_request, response) => response.end());
  program.on("upgrade", (request, socket, head) =>
    sockets.handleUpgrade(request, socket, head, (open) => open.on("message", (data) => open.send(data))),
  );
  await add(apps, { slug: "echo", url: "http://127.0.0.1:9000" });
  const open = (headers: Record<string, string>) =>
    new WebSocket(`ws://${main(apps)}/@owner/dev/apps/echo/ws`, {
      headers: { Cookie: `coder_session_token=${apps.ada.token}`, ...headers },
    });
  const socket = open({ Origin: apps.test.url });
  await once(socket, "open");
  socket.send("hello");
  expect(String((await once(socket, "message"))[0])).toBe("hello");
  const closed = once(socket, "close");
  socket.on("error", () => undefined);
  await send(apps.test.url, "POST", "/api/v2/users/logout", { token: apps.ada.token });
  await closed;
  for (const headers of [{}, { Origin: "http://evil.example" }]) {
    const refused = open(headers as Record<string, string>);
    const [error] = await once(refused, "error");
    expect(String(error)).toContain("403");
  }
  sockets.close();
});

test("a body may take any time, and a head may exceed the deployment's own limit", async () => {
  await using apps = await started();
  const answer = await get(apps, `${BASE}/${"x".repeat(9000)}`, { headers: { "X-Long": "y".repeat(5000) } });
  expect(answer.status).toBe(200);
  const request = httpRequest({
    port: apps.test.port,
    method: "POST",
    path: `${BASE}/`,
    headers: { "Coder-Session-Token": apps.ada.token, Host: main(apps) },
  });
  request.end("z".repeat(3_000_000));
  const [response] = (await once(request, "response")) as [IncomingMessage];
  expect(response.resume().statusCode).toBe(200);
});
