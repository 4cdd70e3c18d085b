/** The checks of the local page over real HTTP, with a page and terminals that the test makes up. */
import { once } from "node:events";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { connect } from "node:net";
import { text as textOf } from "node:stream/consumers";
import { DomainError } from "coder-server/base/domain-error";
import { afterEach, describe, expect, it } from "vitest";
import { PageServer, type PageServerParts } from "./page-server.ts";

const PAGE = "/@alice/dev.main/terminal";
let server: PageServer | undefined;
const seen: string[] = [];
/** Sockets of the server that was started last; those of an earlier one may close later. */
let sockets = { open: 0 };

afterEach(async () => {
  await server?.[Symbol.asyncDispose]();
  server = undefined;
  seen.length = 0;
});

async function start(changes: Partial<PageServerParts> = {}): Promise<PageServer> {
  const counted = { open: 0 };
  sockets = counted;
  server = await PageServer.start({
    page: PAGE,
    dashboard: {
      name: "dashboard",
      match: () => true,
      handle: (request, response) => {
        seen.push(`page ${request.url}`);
        response.end("page");
      },
    },
    api: {
      handle: async (request, response, url) => {
        seen.push(`api ${url.pathname}`);
        request.resume();
        response.end("api");
      },
    },
    openTerminal: (_request, socket, _head, url) => {
      if (!url.pathname.endsWith("/pty")) throw new DomainError("not-found", "There is no such terminal here");
      seen.push("terminal");
      socket.resume().once("end", () => socket.destroy());
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    },
    presence: {
      seen: () => undefined,
      opened: () => {
        counted.open++;
        return () => {
          counted.open--;
        };
      },
    },
    ...changes,
  });
  return server;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

async function ask(path: string, { method = "GET", headers = {}, body }: Asked = {}) {
  const { host } = server!.entrance;
  const asked = httpRequest(`http://${host}`, { method, path, headers: { host, ...headers }, agent: false });
  asked.end(body);
  const [response] = await once(asked, "response");
  return {
    status: response.statusCode as number,
    headers: response.headers as IncomingHttpHeaders,
    text: await textOf(response),
  };
}

const own = () => ({ origin: server!.entrance.origin });
const secret = () => new URL(server!.entrance.address).hash.slice(1);

async function enter(): Promise<string> {
  const { headers } = await ask("/enter", { method: "POST", headers: own(), body: secret() });
  return headers["set-cookie"]![0]!.split(";")[0]!;
}

/** @returns the status of the upgrade, and the socket. */
async function upgrade(path: string, headers: Readonly<Record<string, string>>) {
  const asked = httpRequest(`http://${server!.entrance.host}`, {
    path,
    agent: false,
    headers: { Connection: "Upgrade", Upgrade: "websocket", ...headers },
  });
  asked.end();
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; close: () => void }>();
  asked.on("upgrade", (response, socket) =>
    resolve({ status: response.statusCode ?? 0, close: () => void socket.destroy() }),
  );
  asked.on("response", (response) => {
    response.resume();
    resolve({ status: response.statusCode ?? 0, close: () => undefined });
  });
  asked.on("error", reject);
  return await promise;
}

describe("the way in", () => {
  it("security S28: listens on 127.0.0.1 alone", async () => {
    await start();
    const socket = connect(Number(new URL(server!.entrance.origin).port), "::1");
    await expect(once(socket, "connect")).rejects.toThrow("ECONNREFUSED");
  });

  it("the first page needs no cookie, has a policy and no secret, and runs one script", async () => {
    await start();
    const page = await ask("/");
    expect([page.status, page.text.includes(secret())]).toEqual([200, false]);
    expect(page.headers["content-security-policy"]).toBe(
      "default-src 'none'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
        "require-trusted-types-for 'script'; trusted-types 'none'",
    );
    expect([page.headers["x-frame-options"], page.headers["cache-control"]]).toEqual(["DENY", "no-store"]);
    const script = await ask("/enter.js");
    expect([script.status, script.headers["content-type"]]).toEqual([200, "text/javascript; charset=utf-8"]);
    expect(page.text.match(/<script/g)).toHaveLength(1);
  });

  it("security S28: the secret buys a cookie once, in a request of the page itself", async () => {
    await start();
    const foreign = await ask("/enter", {
      method: "POST",
      headers: { origin: "http://127.0.0.1:3000" },
      body: secret(),
    });
    const bare = await ask("/enter", { method: "POST", body: secret() });
    const wrong = await ask("/enter", { method: "POST", headers: own(), body: "guess" });
    const long = await ask("/enter", { method: "POST", headers: own(), body: "x".repeat(100_000) });
    expect([foreign, bare, wrong, long].map(({ status }) => status)).toEqual([403, 403, 401, 401]);
    const first = await ask("/enter", { method: "POST", headers: own(), body: secret() });
    expect([first.status, first.text]).toEqual([200, PAGE]);
    expect(first.headers["set-cookie"]![0]).toMatch(/; HttpOnly; SameSite=Strict; Path=\/$/);
    const again = await ask("/enter", { method: "POST", headers: own(), body: secret() });
    expect([again.status, again.headers["set-cookie"]]).toEqual([401, undefined]);
    const cookie = first.headers["set-cookie"]![0]!.split(";")[0]!;
    const back = await ask("/enter", { method: "POST", headers: { ...own(), cookie }, body: "" });
    expect([back.status, back.text, back.headers["set-cookie"]]).toEqual([200, PAGE, undefined]);
  });

  it("security S28: a connection of another user of this machine gets nothing, with the secret or the cookie", async () => {
    const users: (number | "gone" | undefined)[] = [];
    const mine = process.getuid?.() ?? 0;
    await start({ clientUser: async () => users.shift() });
    users.push(mine);
    const cookie = await enter();
    for (const user of [mine + 1, "gone"] as const) {
      users.push(user, user, user);
      expect((await ask("/enter", { method: "POST", headers: own(), body: secret() })).status).toBe(403);
      expect((await ask(PAGE, { headers: { cookie } })).status).toBe(403);
      expect((await upgrade("/a/pty", { ...own(), cookie })).status).toBe(403);
    }
    // Root, and systems that do not say.
    for (const user of [0, undefined]) {
      users.push(user);
      expect((await ask(PAGE, { headers: { cookie } })).status).toBe(200);
    }
    expect(seen).toEqual([`page ${PAGE}`, `page ${PAGE}`]);
  });

  it("a failure to find the user refuses", async () => {
    await start({ clientUser: () => Promise.reject(new Error("unreadable")) });
    expect((await ask("/")).status).toBe(403);
  });
});

describe("what is served", () => {
  it("security S28: is nothing without the cookie", async () => {
    await start();
    for (const path of [PAGE, "/assets/main.js", "/icon/coder.svg", "/api/v2/users/me", "/workspaces"])
      expect([path, (await ask(path)).status]).toEqual([path, 401]);
    expect((await ask("/api/v2/x", { method: "POST", headers: own() })).status).toBe(401);
    expect((await upgrade("/a/pty", own())).status).toBe(401);
    expect(seen).toEqual([]);
  });

  it("is the terminal's page, its files and its API, and no other page of a deployment", async () => {
    await start();
    const headers = { cookie: await enter() };
    for (const path of [PAGE, PAGE.replace("@", "%40"), `${PAGE}?reconnect=x`, "/assets/a.js", "/icon/a.svg"])
      expect([path, (await ask(path, { headers })).text]).toEqual([path, "page"]);
    expect((await ask("/api/v2/x", { headers })).text).toBe("api");
    for (const path of ["/workspaces", "/login", "/@alice/dev", "/@alice/other.main/terminal", "/assets", "/derp"])
      expect([path, (await ask(path, { headers })).status]).toEqual([path, 404]);
  });

  it("security S28: is refused under another host name, to other pages, and for a whole URL, with the cookie", async () => {
    await start();
    const cookie = await enter();
    const port = new URL(server!.entrance.origin).port;
    for (const host of [`localhost:${port}`, `attacker.example:${port}`, "127.0.0.1"])
      expect((await ask(PAGE, { headers: { cookie, host } })).status).toBe(421);
    for (const headers of [{ origin: "null" }, { "sec-fetch-site": "same-site", "sec-fetch-dest": "empty" }]) {
      expect((await ask("/api/v2/x", { headers: { cookie, ...headers } })).status).toBe(403);
      expect((await ask("/api/v2/x", { method: "POST", headers: { cookie, ...headers } })).status).toBe(403);
    }
    expect((await ask(`http://attacker.example${PAGE}`, { headers: { cookie } })).status).toBe(400);
    expect(seen).toEqual([]);
  });
});

describe("terminals", () => {
  it("security S28: need the page's origin and the cookie", async () => {
    await start();
    const cookie = await enter();
    for (const origin of ["http://127.0.0.1:3000", "null", "https://coder.example.com"])
      expect((await upgrade("/a/pty", { origin, cookie })).status).toBe(403);
    expect((await upgrade("/a/pty", { cookie })).status).toBe(403);
    expect((await upgrade("/other", { ...own(), cookie })).status).toBe(404);
    expect(seen).toEqual([]);
    const opened = await upgrade("/a/pty", { ...own(), cookie });
    expect([opened.status, seen]).toEqual([101, ["terminal"]]);
    opened.close();
  });

  it("are limited in number; a closed one makes room", async () => {
    await start({ maxTerminals: 2 });
    const headers = { ...own(), cookie: await enter() };
    const open = [await upgrade("/a/pty", headers), await upgrade("/a/pty", headers)];
    expect([(await upgrade("/a/pty", headers)).status, sockets.open]).toEqual([503, 2]);
    open[0]!.close();
    await expect.poll(() => sockets.open, { timeout: 30_000 }).toBe(1);
    open.push(await upgrade("/a/pty", headers));
    expect(open.at(-1)!.status).toBe(101);
    for (const one of open) one.close();
  });

  it("end with the server, whether or not the page closes them", async () => {
    await start();
    const opened = await upgrade("/a/pty", { ...own(), cookie: await enter() });
    await server![Symbol.asyncDispose]();
    server = undefined;
    await expect.poll(() => sockets.open, { timeout: 30_000 }).toBe(0);
    opened.close();
  });
});
