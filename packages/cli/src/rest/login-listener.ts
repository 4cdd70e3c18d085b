/** Waits for the token that the deployment's page sends once the user has agreed in the browser. */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const PATH = "/token";
const MAX_BODY_BYTES = 4 * 1024;
const STATE_BYTES = 24;
/** A login token of a deployment. */
const TOKEN = /^[\w-]{8,256}$/;
const DONE = "The command line is logged in. You can close this page.";
const HEADERS = {
  "Content-Type": "text/plain; charset=utf-8",
  "Cache-Control": "no-store",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  Connection: "close",
};

export interface LoginListener extends AsyncDisposable {
  /** The page to open. */
  readonly page: URL;
  /** The first token that arrives with the right state. Never rejects. */
  readonly token: Promise<string>;
}

/** Listens on the loopback interface only. Only `deployment`'s origin may send a token. */
export async function listenForLogin(deployment: URL): Promise<LoginListener> {
  const state = randomBytes(STATE_BYTES).toString("base64url");
  const { promise: token, resolve } = Promise.withResolvers<string>();
  let port = 0;
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 10_000 }, (request, response) => {
    answer(request, response, { state, port, origin: deployment.origin }).then(
      (found) => {
        if (found !== undefined) resolve(found);
      },
      () => response.destroy(),
    );
  });
  server.maxConnections = 16;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ({ port } = server.address() as AddressInfo);
  server.unref();
  const page = new URL(`${deployment.href.replace(/\/$/, "")}/cli-auth`);
  page.searchParams.set("callback", `http://127.0.0.1:${port}${PATH}`);
  page.searchParams.set("state", state);
  return {
    page,
    token,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, "close");
      server.close();
      // The page may still be reading the answer, and no other request matters.
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), 500).unref();
      await closed;
    },
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  expected: { readonly state: string; readonly port: number; readonly origin: string },
): Promise<string | undefined> {
  const refuse = (status: number, text: string): undefined => {
    response.writeHead(status, HEADERS).end(`${text}\n`);
  };
  const { host, origin } = request.headers;
  // Refuses a foreign host name that resolves to this address (DNS rebinding).
  if (host !== `127.0.0.1:${expected.port}`) return refuse(421, "This host name is not served.");
  if (request.url !== PATH || request.method !== "POST") return refuse(404, "There is nothing here.");
  if (origin !== expected.origin) return refuse(403, "Only the deployment's page may send a token.");
  const body = await readBody(request);
  if (body === undefined) return refuse(413, "The form is too long.");
  const form = new URLSearchParams(body);
  const token = form.get("token") ?? "";
  if (!equal(form.get("state") ?? "", expected.state) || !TOKEN.test(token))
    return refuse(403, "This login belongs to another command. Start coder login again.");
  response.writeHead(200, HEADERS).end(`${DONE}\n`);
  return token;
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const bytes: Buffer = chunk;
    length += bytes.length;
    if (length > MAX_BODY_BYTES) return undefined;
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function equal(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
