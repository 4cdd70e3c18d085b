/** The sign-in to apps behind a balancer without sticky sessions: each step may reach another server. */
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { expect, test } from "vitest";
import { addMember, addWorkspace, send, type TestServer } from "../helpers.ts";
import { startCluster } from "./cluster-servers.ts";

const NAVIGATE = { Accept: "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document" };

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

/** Sends one navigation to one of the servers. */
function navigate(at: TestServer, host: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      host: "127.0.0.1",
      port: at.port,
      path,
      agent: false,
      headers: { Host: host, ...NAVIGATE, ...headers },
    });
    request.on("error", reject);
    request.on("response", (response) => {
      response.resume().on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers }));
    });
    request.end();
  });
}

const pathOf = ({ headers }: Answer): string => {
  const { pathname, search } = new URL(headers.location ?? "", "http://relative.test");
  return pathname + search;
};
const hostOf = ({ headers }: Answer): string => new URL(headers.location ?? "").host;
const cookieOf = ({ headers }: Answer): string => headers["set-cookie"]?.[0]?.split(";")[0] ?? "";

/** Two servers with a wildcard, and a member's workspace with two ports, one of which names the other. */
async function twoServers() {
  await using started = new AsyncDisposableStack();
  const cluster = started.use(await startCluster({ count: 2, flags: { "wildcard-access-url": "*.apps.localhost" } }));
  const [here, there] = cluster.servers as [TestServer, TestServer];
  const ada = await addMember(here.url, cluster.token, "member");
  const workspace = await addWorkspace(here.url, ada.token, "dev");
  const shared = await send(here.url, "POST", `/api/v2/workspaces/${workspace.id}/port-share`, {
    token: ada.token,
    body: { agent_name: "main", port: 8080, share_level: "authenticated", also: ["8081"] },
  });
  expect(shared.status).toBe(200);
  const balancer = new URL(cluster.url);
  const host = (port: number): string => `${port}--main--dev--member.apps.localhost:${balancer.port}`;
  const all = started.move();
  return { here, there, ada, host, main: balancer.host, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** All steps up to the ticket: the app's host at one server, the main host at another. */
async function ticketFor({ here, there, ada, main }: Awaited<ReturnType<typeof twoServers>>, host: string, path = "/") {
  const first = await navigate(here, host, path);
  const decided = await navigate(there, main, pathOf(first), { "Coder-Session-Token": ada.token });
  expect([first.status, decided.status, hostOf(decided)]).toEqual([303, 303, host]);
  return { target: pathOf(decided), state: { Cookie: cookieOf(first) } };
}

test("security S10: a ticket that one server issued is accepted at every server, and only once by all of them", async () => {
  await using on = await twoServers();
  const { here, there } = on;
  const host = on.host(8081);
  const { target, state } = await ticketFor(on, host, "/page");
  const race = await Promise.all(
    [here, there, here, there, here, there].map((at) => navigate(at, host, target, state)),
  );
  expect(race.map(({ status }) => status).sort()).toEqual([303, 400, 400, 400, 400, 400]);
  const taken = race.find(({ status }) => status === 303)!;
  expect(taken.headers.location).toBe(`http://${host}/page`);
  // The agent is not connected, which only admitted visitors are shown.
  for (const at of [here, there]) {
    expect((await navigate(at, host, "/", { Cookie: cookieOf(taken) })).status).toBe(502);
    expect((await navigate(at, host, target, state)).status).toBe(400);
  }
});

test("a sign-in that opens several apps continues at whatever server the browser reaches", async () => {
  await using on = await twoServers();
  const { here, there, ada, main } = on;
  const { target, state } = await ticketFor(on, on.host(8080), "/page");
  const begun = await navigate(here, on.host(8080), target, state);
  expect([begun.status, hostOf(begun)]).toEqual([303, on.host(8081)]);
  const chain = pathOf(begun);
  const first = await navigate(there, on.host(8081), chain);
  const decided = await navigate(here, main, pathOf(first), { "Coder-Session-Token": ada.token });
  const back = await navigate(there, on.host(8081), pathOf(decided), { Cookie: cookieOf(first) });
  expect([back.status, hostOf(back), pathOf(back)]).toEqual([303, on.host(8081), chain]);
  const done = await navigate(here, on.host(8081), chain, { Cookie: cookieOf(back) });
  expect([done.status, done.headers.location]).toEqual([303, `http://${on.host(8080)}/page`]);
});
