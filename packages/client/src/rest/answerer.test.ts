/** Classifies responses to REST calls and WebSocket requests: from the deployment, or from an intermediary. */
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { ClientError } from "../base/client-error.ts";
import { dialRpc } from "../control/rpc-connection.ts";
import { foreignAnswer } from "./answerer.ts";
import { failureOf } from "./api-failure.ts";
import { Deployment } from "./deployment.ts";
import { findWorkspace } from "./workspaces.ts";

const OURS = { "X-Coder-Build-Version": "v2.26.0", "Content-Type": "application/json" };
const HTML = { "Content-Type": "text/html" };
const JSON_TYPE = { "Content-Type": "application/json" };
const PAGE = "<html><head><title>Maintenance\u001b[31m</title><script>x()</script></head><body>Back soon</body></html>";

interface Row {
  readonly what: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly rest: readonly [code: string, words: string];
  readonly control: readonly [code: string, words: string];
}

const foreign = (words: string): readonly [string, string] => ["ERR_NOT_A_CODER_SERVER", words];
const both = (words: readonly [string, string]) => ({ rest: words, control: words });

const ROWS: readonly Row[] = [
  // The deployment's own responses.
  // biome-ignore format: a table
  { what: "our 404", status: 404, headers: OURS, body: '{"message":"Resource not found"}', rest: ["ERR_NOT_FOUND", 'There is no workspace "dev"'], control: ["ERR_NOT_FOUND", "Resource not found"] },
  { what: "our 401", status: 401, headers: OURS, body: '{"message":"no"}', ...both(["ERR_UNAUTHORIZED", "no"]) },
  { what: "our 403", status: 403, headers: OURS, body: '{"message":"no"}', ...both(["ERR_FORBIDDEN", "no"]) },
  { what: "our 500", status: 500, headers: OURS, body: '{"message":"broken"}', ...both(["ERR_SERVER", "broken"]) },
  // biome-ignore format: a table
  { what: "a 401 of ours whose header a proxy removed", status: 401, headers: JSON_TYPE, body: '{"message":"no","detail":"expired"}', ...both(["ERR_UNAUTHORIZED", "no"]) },
  // Responses from intermediaries.
  // biome-ignore format: a table
  { what: "an HTML 404", status: 404, headers: { ...HTML, Server: "nginx/1.27" }, body: PAGE, ...both(foreign('it was 404 Not Found from "nginx/1.27", with a page "Maintenance[31m"')) },
  {
    what: "an HTML 401",
    status: 401,
    headers: HTML,
    body: "<h1>Who are you?</h1>",
    ...both(foreign('401 Unauthorized, with a page "Who are you?"')),
  },
  { what: "an empty 404", status: 404, headers: {}, body: "", ...both(foreign("it was 404 Not Found")) },
  // biome-ignore format: a table
  { what: "a gateway's JSON 404", status: 404, headers: { ...JSON_TYPE, Server: "kong/3.4" }, body: '{"message":"no Route matched with those values"}', ...both(foreign('404 Not Found from "kong/3.4"')) },
  // biome-ignore format: a table
  { what: "a gateway's JSON 403", status: 403, headers: { ...JSON_TYPE, "x-amzn-ErrorType": "Forbidden" }, body: '{"message":"Forbidden"}', ...both(foreign("403 Forbidden")) },
  {
    what: "JSON of another kind",
    status: 401,
    headers: JSON_TYPE,
    body: '{"error":"invalid_token"}',
    ...both(foreign("401 Unauthorized")),
  },
  // biome-ignore format: a table
  { what: "a captive portal", status: 302, headers: { Location: "https://portal.example.net/login?x=1" }, body: "", ...both(foreign("302 Found, a redirect to portal.example.net, as login pages of networks do")) },
  {
    what: "a page with 200",
    status: 200,
    headers: HTML,
    body: PAGE,
    ...both(foreign('200 OK, with a page "Maintenance[31m"')),
  },
  // biome-ignore format: a table
  { what: "a 502 by way of a proxy", status: 502, headers: { ...HTML, Via: "1.1 squid" }, body: "", ...both(foreign('502 Bad Gateway by way of "1.1 squid"')) },
  {
    what: "a 503",
    status: 503,
    headers: { ...HTML, "Retry-After": "7" },
    body: "busy",
    ...both(foreign('503 Service Unavailable, with a page "busy"')),
  },
  { what: "a 504", status: 504, headers: {}, body: "", ...both(foreign("504 Gateway Timeout")) },
  // biome-ignore format: a table
  { what: "JSON that was cut short", status: 200, headers: OURS, body: '{"id":"12', rest: foreign("was cut short"), control: foreign("was cut short") },
  // The Upgrade header was removed on the way.
  // biome-ignore format: a table
  { what: "our 426", status: 426, headers: OURS, body: '{"message":"This path takes WebSockets only."}', rest: ["ERR_BAD_REQUEST", "WebSockets only"], control: ["ERR_UPGRADE_STRIPPED", 'removes the "Upgrade" header'] },
  // biome-ignore format: a table
  { what: "a stock server's 426", status: 426, headers: { "X-Coder-Build-Version": "v2.26.0" }, body: 'WebSocket protocol violation: Connection header "" does not contain Upgrade', rest: ["ERR_BAD_REQUEST", ""], control: ["ERR_UPGRADE_STRIPPED", 'removes the "Upgrade" header'] },
];

const servers: { close(): unknown }[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

async function answering(answer: (response: ServerResponse, path: string) => void): Promise<string> {
  const server: Server = createServer((request, response) => answer(response, request.url ?? ""));
  server.on("upgrade", (request, socket) => {
    socket.on("error", () => undefined); // the client may close before it reads the answer
    const response = {
      writeHead: (status: number, headers: Record<string, string>) => {
        socket.write(`HTTP/1.1 ${status} X\r\nConnection: close\r\n`);
        for (const [name, value] of Object.entries(headers)) socket.write(`${name}: ${value}\r\n`);
        return response;
      },
      end: (body: string) => socket.end(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`),
    };
    answer(response as unknown as ServerResponse, request.url ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  servers.push(server);
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("it did not fail");
}

function seen(error: Error): [string, string] {
  if (!(error instanceof ClientError)) throw error;
  return [error.code, `${error.message} ${error.detail ?? ""}`];
}

describe("who answered", () => {
  it.each(ROWS)("$what", async ({ status, headers, body, rest, control }) => {
    const url = new URL(await answering((response) => response.writeHead(status, headers).end(body)));
    const deployment = new Deployment({ url, token: "t" });
    const signal = AbortSignal.timeout(30_000);
    try {
      const [restCode, restText] = seen(await failure(findWorkspace(deployment, { workspace: "dev" })));
      expect([restCode, restText]).toEqual([rest[0], expect.stringContaining(rest[1])]);
      const [code, text] = seen(await failure(dialRpc(deployment, "/api/v2/tailnet", { signal })));
      expect([code, text]).toEqual([control[0], expect.stringContaining(control[1])]);
      // Only a response of the deployment carries a status, which ends the retries.
      const error = (await failure(dialRpc(deployment, "/api/v2/tailnet", { signal }))) as ClientError;
      const isStrangers = control[0] === "ERR_NOT_A_CODER_SERVER" || control[0] === "ERR_UPGRADE_STRIPPED";
      expect([error.status === undefined, error.retryable || error.status === undefined]).toEqual([
        isStrangers,
        isStrangers || status >= 500,
      ]);
      if (headers["Retry-After"] !== undefined) expect(error.retryAfterMs).toBe(7_000);
    } finally {
      deployment.dialer.close();
    }
  });

  it("no control character of an answer reaches a terminal", async () => {
    const url = new URL(await answering((response) => response.writeHead(404, HTML).end(PAGE)));
    const error = await failure(new Deployment({ url }).call("/api/v2/buildinfo"));
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  it("an answer that ends early is a lost connection", async () => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"id":'));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    servers.push(server);
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    expect(await failure(new Deployment({ url }).call("/api/v2/buildinfo"))).toMatchObject({
      code: "ERR_CONNECTION_RESET",
      retryable: true,
    });
  });
});

describe("a request that an intermediary answered", () => {
  it("is repeated until the deployment answers, with one warning", async () => {
    let asked = 0;
    const url = new URL(
      await answering((response) => {
        if (++asked <= 3) response.writeHead(404, { ...HTML, Server: "lb" }).end(PAGE);
        else response.writeHead(200, OURS).end("[]");
      }),
    );
    const warnings: string[] = [];
    const patience = { limitMs: 60_000, onWait: (error: ClientError) => void warnings.push(error.message) };
    expect(await new Deployment({ url, token: "t", patience }).call("/api/v2/workspaces")).toEqual([]);
    expect([asked, warnings.length]).toEqual([4, 1]);
    expect(warnings[0]).toContain('from "lb"');
  });

  it("is sent once where it could have changed state", async () => {
    let asked = 0;
    const url = new URL(
      await answering((response) => {
        asked++;
        response.writeHead(502, HTML).end("");
      }),
    );
    const patience = { limitMs: 60_000, onWait: () => undefined };
    await failure(new Deployment({ url, token: "t", patience }).call("/api/v2/x", { method: "POST", body: {} }));
    expect(asked).toBe(1);
  });
});

describe("hostile pages", () => {
  const page = (body: string) => ({ status: 502, headers: HTML, body });
  it.each([
    ["opening brackets", "<".repeat(64 * 1024), "<"],
    ["titles that never end", "<title".repeat(10_000), "title"],
    ["scripts that never end", `Down${"<script>".repeat(8_000)}`, 'a page "Down"'],
  ])("%s cost no more than their length", (_, body, words) => {
    for (let times = 0; times < 100; times++) expect(foreignAnswer(page(body), "host")?.message).toContain(words);
    const ours = { status: 502, headers: { ...HTML, "x-coder-build-version": "v2" }, body: body.repeat(20) };
    expect(failureOf(ours, "GET /", "host").status).toBe(502);
  });
});
