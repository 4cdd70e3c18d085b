/** Unchanged programs that people use, served at hosts of their own in a real browser. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { WebSocketServer as SocketServer } from "ws";
import { freePort } from "../free-port.ts";
import { logInByForm, missing } from "./chromium.ts";
import { ProgramDeployment, SUFFIX } from "./program-deployment.ts";

const VITE = join(import.meta.dirname, "../../../dashboard/node_modules/vite/bin/vite.js");
const { WebSocketServer } = createRequire(join(import.meta.dirname, "../../../server/package.json"))("ws") as {
  WebSocketServer: typeof SocketServer;
};
const MIB = 1024 * 1024;

describe.skipIf(missing.length > 0)(`programs (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let programs: ProgramDeployment;
  let context: BrowserContext;
  let page: Page;

  beforeAll(async () => {
    programs = await ProgramDeployment.start();
  });
  afterAll(() => programs?.close());
  beforeEach(async () => {
    context = await programs.browser.newContext();
    page = await context.newPage();
    await logInByForm(page, programs.deployment);
  });
  afterEach(() => context.close());

  const originOf = (what: number | string): string => programs.originOf(what);
  const program = (listener: RequestListener): Promise<number> => programs.listen(createServer(listener));

  /** A Vite development server whose page is filled by a module. */
  const vite = async (name: string, config: object): Promise<{ port: number; edit: (text: string) => void }> => {
    const root = join(programs.deployment.folder, name);
    mkdirSync(root);
    const module = join(root, "main.js");
    const edit = (text: string): void =>
      writeFileSync(
        module,
        `export const text = ${JSON.stringify(text)};
document.querySelector("h1").textContent = text;
import.meta.hot.accept();`,
      );
    edit("first");
    const head = `<!doctype html><title>vite</title><h1></h1><script type="module" src="/main.js"></script>`;
    writeFileSync(join(root, "index.html"), head);
    writeFileSync(join(root, "vite.config.mjs"), `export default ${JSON.stringify(config)};`);
    const port = await freePort();
    const args = [VITE, root, "--host", "127.0.0.1", "--port", String(port), "--strictPort"];
    const child = programs.deployment.spawnCommand(process.execPath, args);
    await once(child.stdout!, "data");
    return { port, edit };
  };

  /** A change arrives in the open page, which is not reloaded. */
  const followsEdits = async (port: number, edit: (text: string) => void): Promise<void> => {
    await page.goto(`${originOf(port)}/`);
    await page.getByRole("heading", { name: "first" }).waitFor();
    await page.waitForFunction(
      "performance.getEntriesByType('resource').some(({ name }) => name.includes('@vite/client'))",
    );
    await page.evaluate("window.loadedOnce = true");
    edit("second");
    await page.getByRole("heading", { name: "second" }).waitFor();
    expect(await page.evaluate("window.loadedOnce")).toBe(true);
  };

  it("Vite refuses a name that is not in its list, and runs with `localhost` for a Host, live changes included", async () => {
    const { port, edit } = await vite("vite-plain", {});
    const answer = await page.goto(`${originOf(port)}/`);
    expect(await page.locator("body").textContent()).toContain("Blocked request");
    expect(await answer?.headerValue("coder-hint")).toBe("host_header");
    await programs.choose(port, { host_header: "localhost" });
    await followsEdits(port, edit);
  });

  it("Vite with the name in its list runs with its public Host, live changes included", async () => {
    const { port, edit } = await vite("vite-told", { server: { allowedHosts: [`.${SUFFIX}`] } });
    await followsEdits(port, edit);
  });

  it("python -m http.server lists, answers HEAD, and gives a file whole and in parts", async () => {
    const root = join(programs.deployment.folder, "served");
    mkdirSync(root);
    const bytes = randomBytes(5 * MIB);
    writeFileSync(join(root, "a file.bin"), bytes);
    const port = await freePort();
    const args = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", root, String(port)];
    programs.deployment.spawnCommand("python3", args, { PYTHONUNBUFFERED: "1" });
    await expect.poll(async () => (await page.goto(`${originOf(port)}/`))?.status(), { timeout: 60_000 }).toBe(200);
    await page.getByRole("link", { name: "a file.bin" }).waitFor();
    const seen = await page.evaluate<[number, string | null, number, string]>(`(async () => {
      const head = await fetch("/a%20file.bin", { method: "HEAD" });
      const whole = await (await fetch("/a%20file.bin")).arrayBuffer();
      const digest = new Uint8Array(whole.slice(0, 16)).join();
      return [head.status, head.headers.get("content-length"), whole.byteLength, digest];
    })()`);
    expect(seen).toEqual([200, String(bytes.length), bytes.length, bytes.subarray(0, 16).join()]);
    const direct = await fetch(`http://127.0.0.1:${port}/a%20file.bin`, { headers: { Range: "bytes=10-19" } });
    const part = await page.evaluate<
      [number, number]
    >(`fetch("/a%20file.bin", { headers: { Range: "bytes=10-19" }, cache: "no-store" })
      .then(async (answer) => [answer.status, (await answer.arrayBuffer()).byteLength])`);
    expect(part).toEqual([direct.status, (await direct.arrayBuffer()).byteLength]);
  });

  it("a medium is fetched in parts", async () => {
    const bytes = randomBytes(2 * MIB);
    const port = await program((request, response) => {
      const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
      if (range === null) return void response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>");
      const [from, to] = [Number(range[1]), range[2] === "" ? bytes.length - 1 : Number(range[2])];
      response.writeHead(206, { "Content-Range": `bytes ${from}-${to}/${bytes.length}`, "Accept-Ranges": "bytes" });
      response.end(bytes.subarray(from, to + 1));
    });
    await page.goto(`${originOf(port)}/`);
    const [status, range, part] = await page.evaluate<[number, string, string]>(`
      fetch("/film", { headers: { Range: "bytes=1000000-1000015" } }).then(async (answer) =>
        [answer.status, answer.headers.get("content-range"), new Uint8Array(await answer.arrayBuffer()).join()])`);
    expect([status, range]).toEqual([206, `bytes 1000000-1000015/${bytes.length}`]);
    expect(part).toBe(bytes.subarray(1_000_000, 1_000_016).join());
  });

  it("a program that speaks https alone, with a certificate of its own making, is opened with an s", async () => {
    const [key, cert] = [join(programs.deployment.folder, "own-key.pem"), join(programs.deployment.folder, "own.pem")];
    const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
    execFileSync("openssl", [...made.split(" "), "-keyout", key, "-out", cert], { stdio: "ignore" });
    const server = createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, (_request, response) =>
      response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><h1>Over TLS</h1>"),
    );
    const port = await programs.listen(server as unknown as Server);
    await page.goto(`${originOf(port)}/`);
    await page.getByRole("link", { name: /https/i }).click();
    await page.getByRole("heading", { name: "Over TLS" }).waitFor();
    expect(new URL(page.url()).origin).toBe(originOf(`${port}s`));
  });

  it("messages of 16 MiB go both ways over a compressed WebSocket", async () => {
    const server = createServer((_request, response) =>
      response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>"),
    );
    const hashes: string[] = [];
    const extensions: string[] = [];
    const sockets = new WebSocketServer({ server, perMessageDeflate: true, maxPayload: 32 * MIB });
    sockets.on("connection", (socket) => {
      extensions.push(socket.extensions);
      socket.on("message", (data, binary) => {
        hashes.push(
          createHash("sha256")
            .update(data as Buffer)
            .digest("hex"),
        );
        socket.send(data, { binary });
      });
    });
    const port = await programs.listen(server);
    await page.goto(`${originOf(port)}/`);
    const equal = await page.evaluate<boolean>(`new Promise((resolve, reject) => {
      const sent = new Uint8Array(16 * 1024 * 1024);
      for (let at = 0; at < sent.length; at += 65536) crypto.getRandomValues(sent.subarray(at, at + 65536));
      const socket = new WebSocket(location.origin.replace("http", "ws") + "/echo");
      socket.binaryType = "arraybuffer";
      socket.onopen = () => socket.send(sent);
      socket.onerror = () => reject(new Error("the socket failed"));
      socket.onclose = () => reject(new Error("the socket closed"));
      socket.onmessage = ({ data }) => {
        const back = new Uint8Array(data);
        resolve(back.length === sent.length && back.every((byte, at) => byte === sent[at]));
      };
    })`);
    expect([equal, hashes.length, extensions]).toEqual([true, 1, [expect.stringContaining("permessage-deflate")]]);
  });

  it("a page on one port uses the API on another, which `also` signs in to with it", async () => {
    const seen: string[] = [];
    const api = await program((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      response.writeHead(200, { "Content-Type": "application/json" }).end('{"from":"api"}');
    });
    const page1 = await program((_request, response) =>
      response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><h1>The page</h1>"),
    );
    const call = (method: string): Promise<[number, string]> =>
      page.evaluate<[number, string]>(`fetch("${originOf(api)}/data", {
        method: "${method}", credentials: "include", headers: { "X-Own": "1" },
      }).then(async (answer) => [answer.status, await answer.text()])`);
    await page.goto(`${originOf(page1)}/`);
    await page.getByRole("heading", { name: "The page" }).waitFor();
    const [status, text] = await call("PUT");
    expect([status, JSON.parse(text)]).toEqual([401, expect.objectContaining({ url: `${originOf(api)}/` })]);
    await context.clearCookies();
    await logInByForm(page, programs.deployment);
    await programs.choose(page1, { also: [String(api)] });
    await page.goto(`${originOf(page1)}/`);
    await page.getByRole("heading", { name: "The page" }).waitFor();
    expect(page.url()).toBe(`${originOf(page1)}/`);
    for (const method of ["GET", "PUT", "DELETE"]) expect(await call(method)).toEqual([200, '{"from":"api"}']);
    // The server answered the preflights for the program.
    expect(seen).toEqual(["GET /data", "PUT /data", "DELETE /data"]);
  });

  it("an uploaded file of 32 MiB and a stream of events pass", async () => {
    const port = await program(async (request, response) => {
      if (request.url === "/upload") {
        const hash = createHash("sha256");
        for await (const chunk of request) hash.update(chunk as Buffer);
        response.end(hash.digest("hex"));
      } else if (request.url === "/events") {
        response.writeHead(200, { "Content-Type": "text/event-stream" });
        for (let i = 0; i < 3; i++) response.write(`data: ${i}\n\n`);
      } else response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>");
    });
    await page.goto(`${originOf(port)}/`);
    const byte = 0x5a;
    const hash = await page.evaluate<string>(
      `fetch("/upload", { method: "POST", body: new Uint8Array(32 * 1024 * 1024).fill(${byte}) }).then((answer) => answer.text())`,
    );
    expect(hash).toBe(
      createHash("sha256")
        .update(Buffer.alloc(32 * MIB, byte))
        .digest("hex"),
    );
    const events = await page.evaluate<string[]>(`new Promise((resolve) => {
      const source = new EventSource("/events");
      const seen = [];
      source.onmessage = ({ data }) => {
        seen.push(data);
        if (seen.length < 3) return;
        source.close();
        resolve(seen);
      };
    })`);
    expect(events).toEqual(["0", "1", "2"]);
  });

  it("the messages of a gRPC-web stream pass one by one, its status last", async () => {
    /** The next message goes out only when the page reports the former. */
    let seen = (): void => undefined;
    const frame = (kind: number, text: string): Buffer => {
      const head = Buffer.alloc(5);
      head.writeUInt8(kind);
      head.writeUInt32BE(Buffer.byteLength(text), 1);
      return Buffer.concat([head, Buffer.from(text)]);
    };
    const port = await program(async (request, response) => {
      if (request.url === "/seen") {
        seen();
        response.writeHead(204).end();
      } else if (request.url === "/clock.Clock/Ticks") {
        const asked: Buffer[] = [];
        for await (const chunk of request) asked.push(chunk as Buffer);
        response.writeHead(200, { "Content-Type": "application/grpc-web+proto" });
        for (const message of [`asked ${Buffer.concat(asked).length}`, "second", "third"]) {
          const reported = new Promise<void>((resolve) => {
            seen = resolve;
          });
          response.write(frame(0, message));
          await reported;
        }
        response.end(frame(0x80, "grpc-status: 0\r\n"));
      } else response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html>");
    });
    await page.goto(`${originOf(port)}/`);
    const messages = await page.evaluate<[number, string][]>(`(async () => {
      const headers = { "Content-Type": "application/grpc-web+proto", "X-Grpc-Web": "1" };
      const answer = await fetch("/clock.Clock/Ticks", { method: "POST", headers, body: new Uint8Array(5) });
      const reader = answer.body.getReader();
      const messages = [];
      for (let bytes = new Uint8Array(); ; ) {
        const { done, value } = await reader.read();
        if (done) return messages;
        bytes = new Uint8Array([...bytes, ...value]);
        while (bytes.length >= 5) {
          const length = new DataView(bytes.buffer).getUint32(1);
          if (bytes.length < 5 + length) break;
          messages.push([bytes[0], new TextDecoder().decode(bytes.slice(5, 5 + length))]);
          bytes = bytes.slice(5 + length);
          if (messages.at(-1)[0] === 0) await fetch("/seen", { method: "POST" });
        }
      }
    })()`);
    expect(messages).toEqual([
      [0, "asked 5"],
      [0, "second"],
      [0, "third"],
      [0x80, "grpc-status: 0\r\n"],
    ]);
  });
});
