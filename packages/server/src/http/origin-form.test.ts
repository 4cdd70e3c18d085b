/** Targets in absolute form (RFC 9112 §3.2.2): the authority decides where Host would. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { Hosts } from "../auth/hosts.ts";
import { OpenStreams } from "../base/open-streams.ts";
import { FrontDoor, type FrontDoorOptions } from "./front-door.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { Listeners } from "./listeners.ts";

/** A deployment at coder.example.com with apps at *.apps.example.com; every answer says what was reached. */
async function deployment() {
  const say = (what: string, request: IncomingMessage): string => {
    const hosts = request.rawHeaders.filter((_, at, all) => at % 2 === 1 && all[at - 1]!.toLowerCase() === "host");
    return `${what} ${request.url} host=${request.headers.host} raw=${hosts.join()}`;
  };
  const answer = async (what: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.end(say(what, request));
  };
  const upgrade = async (what: string, request: IncomingMessage, socket: Duplex): Promise<void> => {
    socket.end(`HTTP/1.1 101 Switching Protocols\r\n\r\n${say(what, request)}`);
  };
  const accessUrl = new URL("https://coder.example.com");
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
  const door = new FrontDoor({
    requestRoutes: [],
    upgradeRoutes: [
      {
        name: "watch",
        match: ({ pathname }: URL) => pathname === "/watch",
        handle: (request: IncomingMessage, socket: Duplex) => upgrade("upgrade", request, socket),
      },
    ],
    rest: (request: IncomingMessage, response: ServerResponse) => answer("main", request, response),
    hosts: new Hosts(() => accessUrl, []),
    clientAddress: () => "192.0.2.1",
    settings: { accessUrl, redirectToAccessUrl: false, hstsMaxAgeSeconds: 0 },
    limits: DEFAULT_LIMITS,
    log,
    apps: {
      isAppHost: (name: string) => name.endsWith(".apps.example.com"),
      isAppPath: (target: string) => target.startsWith("/@"),
      request: (request: IncomingMessage, response: ServerResponse, name: string | undefined) =>
        answer(`app ${name}`, request, response),
      upgrades: () => true,
      upgrade: (request: IncomingMessage, socket: Duplex, _head: Buffer, name: string | undefined) =>
        upgrade(`app upgrade ${name}`, request, socket),
    },
  } as unknown as FrontDoorOptions);
  const listeners = new Listeners({ door, limits: DEFAULT_LIMITS, streams: new OpenStreams(), log: log as never });
  const { port } = await listeners.http({ host: "127.0.0.1", port: 0 }, "http-address");
  onTestFinished(async () => {
    listeners.startClosing();
    await listeners.closed();
  });
  return async (line: string, ...headers: readonly string[]): Promise<string> => {
    const client = connect(port, "127.0.0.1");
    client.write(`${[`${line}`, ...headers].join("\r\n")}\r\n\r\n`);
    let read = "";
    client.setEncoding("utf8").on("data", (text: string) => {
      read += text;
    });
    await once(client, "close");
    const [head = "", body = ""] = read.split("\r\n\r\n");
    return `${head.split(" ")[1]} ${body.split("\n")[0]}`;
  };
}

const CLOSE = "Connection: close";
const UPGRADE = ["Connection: Upgrade", "Upgrade: websocket"];

test("the authority takes the place of the Host header", async () => {
  const ask = await deployment();
  const reached = "host=coder.example.com raw=coder.example.com";
  for (const host of ["coder.example.com", "evil.example", "one.apps.example.com", ""])
    expect(await ask("GET http://coder.example.com/api/v2/buildinfo?a=b HTTP/1.1", `Host: ${host}`, CLOSE)).toBe(
      `200 main /api/v2/buildinfo?a=b ${reached}`,
    );
  expect(await ask("GET HTTPS://Coder.Example.com:443 HTTP/1.1", "Host: x", CLOSE)).toBe(
    "200 main / host=Coder.Example.com:443 raw=Coder.Example.com:443",
  );
  expect(await ask("GET http://coder.example.com?a=/b HTTP/1.1", "Host: x", CLOSE)).toBe(`200 main /?a=/b ${reached}`);
  expect(await ask("GET http://coder.example.com/x HTTP/1.0")).toBe(`200 main /x ${reached}`);
});

test("apps are found by the authority, at their hosts and paths, and never by the Host header", async () => {
  const ask = await deployment();
  const host = "Host: coder.example.com";
  const app = "one.apps.example.com";
  expect(await ask(`GET http://${app}/api/v2/users HTTP/1.1`, host, CLOSE)).toBe(
    `200 app ${app} /api/v2/users host=${app} raw=${app}`,
  );
  expect(await ask("GET http://coder.example.com/@me/a HTTP/1.1", `Host: ${app}`, CLOSE)).toMatch(
    /^200 app undefined \/@me\/a host=coder\.example\.com /,
  );
  expect(await ask(`GET http://${app}/watch HTTP/1.1`, host, ...UPGRADE)).toMatch(/^101 app upgrade one\.apps/);
});

test("upgrades take the same course", async () => {
  const ask = await deployment();
  expect(await ask("GET http://coder.example.com/watch HTTP/1.1", "Host: evil.example", ...UPGRADE)).toMatch(
    /^101 upgrade \/watch host=coder\.example\.com /,
  );
  expect(await ask("GET http://evil.example/watch HTTP/1.1", "Host: coder.example.com", ...UPGRADE)).toMatch(/^421 /);
  // An offer of another protocol is ignored.
  expect(
    await ask("GET http://coder.example.com/x HTTP/1.1", "Host: x", "Connection: Upgrade, close", "Upgrade: h2c"),
  ).toMatch(/^200 main \/x host=coder\.example\.com /);
});

test.each([
  ["another host", "GET http://evil.example/ HTTP/1.1", 421],
  ["user information", "GET http://coder.example.com@evil.example/ HTTP/1.1", 421],
  ["user information before our name", "GET http://evil@coder.example.com/ HTTP/1.1", 421],
  ["a backslash", "GET http://coder.example.com\\.evil.example/ HTTP/1.1", 400],
  ["another scheme", "GET ftp://coder.example.com/ HTTP/1.1", 400],
  ["a fragment instead of a path", "GET http://coder.example.com#/x HTTP/1.1", 400],
])("%s is refused, whatever the Host header says", async (_, line, status) => {
  const ask = await deployment();
  expect(await ask(line, "Host: coder.example.com", CLOSE)).toMatch(new RegExp(`^${status} `));
});

test("two Host headers are refused also beside an authority", async () => {
  const ask = await deployment();
  const line = "GET http://coder.example.com/ HTTP/1.1";
  expect(await ask(line, "Host: coder.example.com", "Host: evil.example", CLOSE)).toMatch(/^400 /);
});

test("a target in origin form that contains an address stays what it is", async () => {
  const ask = await deployment();
  const line = "GET /http://evil.example/ HTTP/1.1";
  expect(await ask(line, "Host: coder.example.com", CLOSE)).toMatch(/^200 main \/http:\/\/evil\.example\/ host=coder/);
});
