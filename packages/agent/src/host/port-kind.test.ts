import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type PortKind, portKind } from "./port-kind.ts";
import { PortKinds } from "./port-kinds.ts";

const folder = mkdtempSync(join(tmpdir(), "port-kind-"));
const [keyFile, certFile] = [join(folder, "key.pem"), join(folder, "cert.pem")];
const own = () => ({ key: readFileSync(keyFile), cert: readFileSync(certFile) });
beforeAll(() => {
  const made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost";
  execFileSync("openssl", [...made.split(" "), "-keyout", keyFile, "-out", certFile], { stdio: "ignore" });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const open = new Set<Server>();
const sockets = new Set<Socket>();
afterEach(() => {
  for (const socket of sockets) socket.destroy();
  for (const server of open) server.close();
  open.clear();
  sockets.clear();
});

async function at(server: Server, host = "127.0.0.1"): Promise<number> {
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.on("tlsClientError", () => undefined);
  server.listen(0, host);
  await once(server, "listening");
  open.add(server);
  return (server.address() as AddressInfo).port;
}

/** An https server that answers a plain request with text, as Go's and nginx do. */
function wordyHttps(): Server {
  const secure = createHttpsServer(own()).listen(0, "127.0.0.1");
  open.add(secure);
  return createServer((socket) => {
    socket.once("data", (first) => {
      if (first[0] !== 0x16) return void socket.end("HTTP/1.0 400 Bad Request\r\n\r\nThis is an HTTPS server.\n");
      const far = connect((secure.address() as AddressInfo).port, "127.0.0.1");
      sockets.add(far);
      far.write(first);
      socket.pipe(far).pipe(socket);
    });
  });
}

test.each<[string, () => Server, string]>([
  ["answers with HTTP", () => createHttpServer((_request, response) => response.writeHead(404).end()), "http"],
  [
    "refuses the question with 400",
    () => createHttpServer((_request, response) => response.writeHead(400).end()),
    "http",
  ],
  ["speaks https", () => createHttpsServer(own(), (_request, response) => response.end()), "https"],
  ["speaks https, and tells so in plain text", wordyHttps, "https"],
  [
    "speaks TLS with other ciphers",
    () => createTlsServer({ ciphers: "PSK-AES128-GCM-SHA256", maxVersion: "TLSv1.2" }),
    "https",
  ],
  ["speaks first", () => createServer((socket) => void socket.write("SSH-2.0-OpenSSH_9.9\r\n")), "other"],
  [
    "speaks something else",
    () => createServer((socket) => void socket.on("data", () => socket.write("-ERR\r\n"))),
    "other",
  ],
  ["closes at once", () => createServer((socket) => void socket.destroy()), "other"],
])("a program that %s", async (_name, make, kind) => {
  expect(await portKind(await at(make()))).toBe(kind);
});

test("a program that listens with IPv6 alone, and none", async () => {
  const port = await at(
    createHttpServer((_request, response) => response.end()),
    "::1",
  );
  expect(await portKind(port)).toBe("http");
  for (const server of open) {
    server.close();
    await once(server, "close");
  }
  expect(await portKind(port)).toBeUndefined();
});

const row = (port: number, listener: string) => ({ process_name: "", network: "tcp" as const, port, listener });

test("a program is connected to when its port is asked about, once for each listener", async () => {
  const looked: number[] = [];
  const kinds = new PortKinds({
    look: async (port) => {
      looked.push(port);
      return "http";
    },
  });
  expect(await kinds.of([row(3000, "1"), row(8080, "2")], new Set())).toEqual(new Map());
  const wanted = new Set([3000, 9999]);
  expect(await kinds.of([row(3000, "1"), row(8080, "2")], wanted)).toEqual(new Map([[3000, "http"]]));
  await kinds.of([row(3000, "1")], wanted);
  expect(looked).toEqual([3000]);
  await kinds.of([row(3000, "7")], wanted);
  await kinds.of([], wanted);
  await kinds.of([row(3000, "7")], wanted);
  expect(looked).toEqual([3000, 3000, 3000]);
});

test("a program that is slow to answer holds up no list, and is known later", async () => {
  const { promise, resolve } = Promise.withResolvers<"https">();
  const kinds = new PortKinds({ look: () => promise, waitMs: 1 });
  const listening = [row(3000, "1")];
  expect(await kinds.of(listening, new Set([3000]))).toEqual(new Map());
  resolve("https");
  await promise;
  expect(await kinds.of(listening, new Set([3000]))).toEqual(new Map([[3000, "https"]]));
});

/** A program that accepts connections and stays silent. */
const silent = () => createServer(() => undefined);

test("a program that answers nothing in time is not known, and not taken for another protocol", async () => {
  expect(await portKind(await at(silent()), { answerMs: 50 })).toBeUndefined();
});

interface Looks {
  readonly kinds: PortKinds;
  readonly looked: number[];
  now: number;
  found: PortKind | undefined;
}

/** Checks that find `found` at once, on a clock that the test advances. */
function looks(): Looks {
  const state: Looks = {
    looked: [],
    now: 0,
    found: undefined,
    kinds: new PortKinds({
      look: async (port) => {
        state.looked.push(port);
        return state.found;
      },
      now: () => state.now,
    }),
  };
  return state;
}

test("a program that was slow to start is checked again after a pause, and then known", async () => {
  const state = looks();
  const ask = () => state.kinds.of([row(3000, "1")], new Set([3000]));
  expect(await ask()).toEqual(new Map());
  state.found = "http";
  state.now = 29_999;
  expect(await ask()).toEqual(new Map());
  state.now = 30_000;
  expect(await ask()).toEqual(new Map([[3000, "http"]]));
  state.now = 10_000_000;
  expect(await ask()).toEqual(new Map([[3000, "http"]]));
  expect(state.looked).toEqual([3000, 3000]);
});

test.each([
  ["of another protocol", "other"],
  ["not known", undefined],
] as const)(
  "a program that ends with each connection, and is %s, is checked less and less often",
  async (_kind, found) => {
    const state = looks();
    state.found = found;
    const times: number[] = [];
    const hourMs = 3_600_000;
    for (let listener = 0; state.now < hourMs; state.now += 3_000, listener++) {
      const before = state.looked.length;
      // The program is gone at every second query.
      await state.kinds.of(listener % 2 === 0 ? [row(3000, `${listener}`)] : [], new Set([3000]));
      if (state.looked.length > before) times.push(state.now / 1_000);
    }
    expect(times).toEqual([0, 30, 90, 210, 450, 930, 1_830, 2_730]);
  },
);

test("an HTTP server that is started again is checked at once", async () => {
  const state = looks();
  state.found = "http";
  for (const listener of ["1", "2", "3"]) await state.kinds.of([row(3000, listener)], new Set([3000]));
  expect(state.looked).toHaveLength(3);
});

test("closed ports take no place from those that listen", async () => {
  const state = looks();
  state.found = "http";
  const wanted = new Set(Array.from({ length: 256 }, (_, i) => 3000 + i));
  const listening = [...wanted].slice(100).map((port) => row(port, `${port}`));
  const first = await state.kinds.of(listening, wanted);
  expect([...first.keys()]).toEqual([...wanted].slice(100, 164));
  for (let more = 0; more < 2; more++) await state.kinds.of(listening, wanted);
  expect(await state.kinds.of(listening, wanted)).toHaveProperty("size", 156);
  expect(state.looked).toHaveLength(156);
});
