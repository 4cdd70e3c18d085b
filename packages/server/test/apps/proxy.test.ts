/** Requests through the server to programs, both well-behaved and misbehaving. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createServer as createNetServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { addWorkspace, send } from "../helpers.ts";
import { raw, startApps } from "./helpers.ts";

test("security S4, S16: no credential of the server and no forged address reaches a program", async () => {
  await using apps = await startApps();
  let seen = "";
  await apps.program(8080, (request, response) => {
    seen = JSON.stringify([request.url, request.rawHeaders]);
    response.end();
  });
  const { token } = apps.ada;
  const answer = await apps.send(apps.host(8080), `/a?coder_session_token=${token}&b=1`, {
    token,
    headers: {
      Cookie: `coder_session_token=${token}; __Host-coder_app_session=x; theirs=1`,
      Authorization: `Bearer ${token}`,
      "X-Forwarded-For": "198.51.100.1",
      Forwarded: "for=198.51.100.1",
      "X-Real-Ip": "198.51.100.1",
    },
  });
  expect(answer.status).toBe(200);
  expect(seen).not.toContain(token);
  expect(seen).not.toContain("198.51.100.1");
  expect(seen).not.toContain("app_session");
  expect(JSON.parse(seen)).toEqual([
    "/a?b=1",
    [
      ["Host", apps.host(8080)],
      ["Cookie", "theirs=1"],
      ["X-Forwarded-For", "127.0.0.1"],
      ["X-Forwarded-Host", apps.host(8080)],
      ["X-Forwarded-Proto", "http"],
      ["X-Forwarded-Port", String(apps.test.port)],
      ["Connection", "keep-alive"],
    ].flat(),
  ]);
});

test("a body of any length is streamed, although the main host has a limit", async () => {
  const requestTimeoutMs = 1;
  await using apps = await startApps({ deps: { limits: { requestTimeoutMs, bodyBytes: 1024 } } });
  await apps.program(8080, async (request, response) => {
    const hash = createHash("sha256");
    for await (const chunk of request) hash.update(chunk as Buffer);
    response.end(hash.digest("hex"));
  });
  const chunk = randomBytes(1024 * 1024);
  const hash = createHash("sha256");
  const request = httpRequest({
    host: "127.0.0.1",
    port: apps.test.port,
    method: "PUT",
    headers: { Host: apps.host(8080), "Coder-Session-Token": apps.ada.token },
  });
  for (let i = 0; i < 20; i++) {
    hash.update(chunk);
    if (!request.write(chunk)) await once(request, "drain");
  }
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  const [text] = (await once(response, "data")) as [Buffer];
  expect(text.toString()).toBe(hash.digest("hex"));
});

test("events arrive one by one, and nothing in front is asked to buffer them", async () => {
  await using apps = await startApps();
  let next: (() => void) | undefined;
  await apps.program(8080, async (_request, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    for (let i = 0; i < 3; i++) {
      response.write(`data: ${i}\n\n`);
      await new Promise<void>((resolve) => {
        next = resolve;
      });
    }
    response.end();
  });
  const request = httpRequest({
    host: "127.0.0.1",
    port: apps.test.port,
    headers: { Host: apps.host(8080), "Coder-Session-Token": apps.ada.token },
  }).end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  expect(response.headers).toMatchObject({ "x-accel-buffering": "no", "cache-control": "no-cache" });
  const events: string[] = [];
  for await (const event of response) {
    events.push(String(event)); // the program sends the next one only after the previous one was read here
    next?.();
  }
  expect(events).toEqual(["data: 0\n\n", "data: 1\n\n", "data: 2\n\n"]);
});

test("ranges, HEAD, redirects, trailers and paths are left to the program", async () => {
  await using apps = await startApps();
  const seen: (string | undefined)[] = [];
  await apps.program(8080, (request, response) => {
    seen.push(request.url);
    if (request.url === "/range") {
      response.writeHead(206, { "Content-Range": "bytes 0-1/9", "Content-Length": "2", ETag: '"x"' }).end("ab");
    } else if (request.method === "HEAD") {
      response.writeHead(200, { "Content-Length": "123456" }).end();
    } else if (request.url === "/redirect") {
      response.writeHead(302, { Location: "http://169.254.169.254/latest/meta-data" }).end();
    } else if (request.url === "/trailers") {
      response.writeHead(200, { Trailer: "X-Sum", "Transfer-Encoding": "chunked" });
      response.write("body");
      response.addTrailers({ "X-Sum": "42" });
      response.end();
    } else response.end("ok");
  });
  const host = apps.host(8080);
  const { token } = apps.ada;
  const range = await apps.send(host, "/range", { token, headers: { Range: "bytes=0-1" } });
  expect([range.status, range.headers["content-range"], range.headers.etag, range.text]).toEqual([
    206,
    "bytes 0-1/9",
    '"x"',
    "ab",
  ]);
  const head = await apps.send(host, "/file", { token, method: "HEAD" });
  expect([head.status, head.headers["content-length"], head.text]).toEqual([200, "123456", ""]);
  const redirect = await apps.send(host, "/redirect", { token });
  expect([redirect.status, redirect.headers.location]).toEqual([302, "http://169.254.169.254/latest/meta-data"]);
  const trailers = await apps.send(host, "/trailers", { token });
  expect([trailers.text, trailers.trailers]).toEqual(["body", { "x-sum": "42" }]);
  for (const path of ["/a/../b", "/a%2Fb//c;d", "/%2e%2e/x?y=%00&z=a+b", "/?"]) {
    await apps.send(host, path, { token });
    expect(seen.at(-1)).toBe(path);
  }
  expect(apps.dialled.every(({ port }) => port === 8080)).toBe(true);
});

test("several cookies of a program stay several, and stay with its host", async () => {
  await using apps = await startApps();
  await apps.program(8080, (_request, response) => {
    response.writeHead(200, {
      "Set-Cookie": [
        "a=1; Domain=coder.localhost; Path=/",
        "b=2; HttpOnly",
        "coder_session_token=evil; Domain=coder.localhost",
      ],
      "Clear-Site-Data": '"cookies"',
    });
    response.end();
  });
  const answer = await apps.send(apps.host(8080), "/", { token: apps.ada.token });
  expect(answer.headers["set-cookie"]).toEqual(["a=1; Path=/", "b=2; HttpOnly"]);
  expect(answer.headers["clear-site-data"]).toBeUndefined();
});

test("a program receives localhost as Host only if its share says so", async () => {
  await using apps = await startApps();
  await apps.program(5173, ({ headers }, response) => {
    response.writeHead(302, { Location: `http://${headers.host}/next?a=1` });
    response.end([headers.host, headers.origin, headers.referer, headers["x-forwarded-host"]].join(" "));
  });
  const { token } = apps.ada;
  const origin = `http://${apps.host(5173)}`;
  const own = { Origin: origin, Referer: `${origin}/page` };
  const ask = () => apps.send(apps.host(5173), "/", { token, headers: own });
  const known = await ask();
  expect(known.text).toBe(`${apps.host(5173)} ${origin} ${origin}/page ${apps.host(5173)}`);
  expect(known.headers.location).toBe(`${origin}/next?a=1`);
  await apps.send(`127.0.0.1:${apps.test.port}`, `/api/v2/workspaces/${apps.workspaceId}/port-share`, {
    method: "POST",
    token,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ agent_name: "main", port: 5173, share_level: "authenticated", host_header: "localhost" }),
  });
  const local = await ask();
  expect(local.text).toBe("localhost:5173 http://localhost:5173 http://localhost:5173/page ");
  expect(local.headers.location).toBe(`${origin}/next?a=1`);
});

test("the reason why a program does not answer is given in words, and to its owner with the next step", async () => {
  await using apps = await startApps();
  const { token } = apps.ada;
  const nothing = await apps.send(apps.host(7777), "/", { token, headers: { Accept: "text/html" } });
  expect([nothing.status, nothing.text]).toEqual([502, expect.stringContaining("Nothing Listens on Port 7777")]);
  expect(nothing.text).toContain("Start the program");
  expect(nothing.text).toContain('<meta http-equiv="refresh" content="2">');
  const posted = { method: "POST", token, headers: { Accept: "text/html" } };
  expect((await apps.send(apps.host(7777), "/", posted)).text).not.toContain("refresh");
  expect(nothing.headers["content-security-policy"]).toContain("default-src 'none'");
  expect(nothing.headers["cache-control"]).toBe("no-store");
  const admin = await apps.send(apps.host(7777), "/", { token: apps.admin.token });
  expect(JSON.parse(admin.text).detail).not.toContain("Start the program");

  await apps.listen(
    9999,
    createNetServer((socket) => socket.once("data", () => socket.end("SSH-2.0-x\r\n")).on("error", () => undefined)),
  );
  const notHttp = await apps.send(apps.host(9999), "/", { token });
  expect([notHttp.status, JSON.parse(notHttp.text).message]).toEqual([
    502,
    expect.stringMatching(/Mismatch|Bad Gateway/),
  ]);
  await apps.program(8443, (_request, response) => response.end("plain"));
  const notTls = await apps.send(apps.host("8443s"), "/x", { token, headers: { Accept: "text/html" } });
  expect([notTls.status, notTls.text]).toEqual([502, expect.stringContaining(`http://${apps.host(8443)}/x`)]);
});

test("only the owner of a workspace is shown where its programs listen, and how it is connected", async () => {
  await using apps = await startApps();
  const ports = [8080, 3000].map((port) => ({ process_name: "node", network: "tcp", port }));
  await apps.program(4, (_request, response) => response.end(JSON.stringify({ ports })));
  await send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/port-share`, {
    token: apps.ada.token,
    body: { agent_name: "main", port: 7777, share_level: "authenticated" },
  });
  const page = (host: string, token: string) => apps.send(host, "/", { token, headers: { Accept: "text/html" } });
  for (const what of ["7777", "7777s", "x---7777"]) {
    const { text } = await page(apps.host(what), apps.ada.token);
    expect(text).toContain(`<li><a href="http://${apps.host(8080)}/">Port 8080</a></li>`);
    expect(text).toContain(`http://${apps.host(3000)}/`);
  }
  for (const { token } of [apps.bob, apps.admin]) {
    const { status, text } = await page(apps.host(7777), token);
    expect([status, text]).toEqual([502, expect.not.stringContaining("8080")]);
  }
  const asked = apps.dialled.filter(({ port }) => port === 4);
  expect(new Set(asked.map(({ agentId }) => agentId))).toEqual(new Set([apps.agentId]));
});

test("security S14: anything but one plain request reaches no program", async () => {
  await using apps = await startApps();
  let requests = 0;
  await apps.program(8080, (_request, response) => {
    requests++;
    response.end("ok");
  });
  const head = `Host: ${apps.host(8080)}\r\nCoder-Session-Token: ${apps.ada.token}\r\n`;
  const malformed = [
    `POST / HTTP/1.1\r\n${head}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${head}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
    `POST / HTTP/1.1\r\n${head}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
    `GET / HTTP/1.1\r\n${head}X-A: 1\r\n folded\r\n\r\n`,
    `GET / HTTP/1.1\r\n${head}X-A : 1\r\n\r\n`,
    `GET / HTTP/1.1\n${head.replaceAll("\r\n", "\n")}\n`,
    `GET / HTTP/1.1\r\n${head}X-A: a\rb\r\n\r\n`,
    `GET / HTTP/1.1\r\n${head}X-A: a\0b\r\n\r\n`,
    `POST / HTTP/1.1\r\n${head}Content-Length: -1\r\n\r\n`,
    `POST / HTTP/1.1\r\n${head}Content-Length: +1\r\n\r\na`,
    `TRACE / HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    `CONNECT 127.0.0.1:22 HTTP/1.1\r\n${head}\r\n`,
  ];
  for (const text of malformed) {
    const answer = await raw(apps.test.port, text);
    expect([text, answer.split(" ")[1] ?? "closed"]).toEqual([text, expect.stringMatching(/^(?:400|405|closed)$/)]);
  }
  expect(requests).toBe(0);
});

test("security S14: a smuggled request in a body stays a body", async () => {
  await using apps = await startApps();
  const seen: string[] = [];
  await apps.program(8080, async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    seen.push(`${request.method} ${request.url} ${body}`);
    response.end("ok");
  });
  const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  const { token } = apps.ada;
  await apps.send(apps.host(8080), "/one", { method: "POST", token, body: inner });
  await apps.send(apps.host(8080), "/two", {
    token,
    headers: { "Transfer-Encoding": "chunked" },
    method: "POST",
    body: inner,
  });
  await apps.send(apps.host(8080), "/three", { token });
  expect(seen).toEqual([`POST /one ${inner}`, `POST /two ${inner}`, "GET /three "]);
});

test("security S14: bytes behind an answer never become the next one, and a broken answer is not completed", async () => {
  await using apps = await startApps();
  let connections = 0;
  const answers = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nzz",
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nraw",
  ];
  await apps.listen(
    8080,
    createNetServer((socket) => {
      const answer = answers[connections++] ?? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast";
      socket.on("error", () => undefined);
      socket.once("data", () => {
        socket.write(answer);
        if (answer.includes("short")) socket.end();
        socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"));
      });
    }),
  );
  const { token } = apps.ada;
  const ask = async (): Promise<string> => {
    try {
      const answer = await apps.send(apps.host(8080), "/", { token });
      return `${answer.status} ${answer.status === 200 ? answer.text : ""}`;
    } catch {
      return "cut off";
    }
  };
  expect(await ask()).toBe("200 ok");
  for (let i = 1; i < answers.length; i++)
    expect([i, await ask()]).toEqual([i, expect.stringMatching(/^(?:502 |cut off)$/)]);
  expect(await ask()).toBe("200 last");
  expect(connections).toBe(answers.length + 1);
});

test("a kept connection that the program has closed meanwhile loses no request", async () => {
  await using apps = await startApps();
  const program = await apps.program(8080, (_request, response) => response.end("ok"));
  const { token } = apps.ada;
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("ok");
  program.closeAllConnections();
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("ok");
});

test("a program that has closed one kept connection has the request repeated on a new one, not on another kept one", async () => {
  await using apps = await startApps();
  const waiting: ServerResponse[] = [];
  const used = new WeakSet<Socket>();
  await apps.program(8080, ({ socket, url }, response) => {
    // What happens to each kept connection of a program that is gone.
    if (used.has(socket)) return void socket.destroy();
    used.add(socket);
    if (url !== "/together") return void response.end("new");
    waiting.push(response);
    if (waiting.length === 3) for (const one of waiting) one.end("kept");
  });
  const { token } = apps.ada;
  const together = Array.from({ length: 3 }, () => apps.send(apps.host(8080), "/together", { token }));
  expect((await Promise.all(together)).map(({ text }) => text)).toEqual(["kept", "kept", "kept"]);
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("new");
});

test("a kept connection that the program has ended is not used again", async () => {
  await using apps = await startApps();
  const answers = ["first", "again"];
  const connections: Socket[] = [];
  await apps.listen(
    8080,
    createNetServer({ allowHalfOpen: true }, (socket) => {
      const text = answers.shift();
      connections.push(socket);
      socket.on("error", () => undefined);
      // Whatever follows is neither answered nor refused, as if a relay were in between.
      socket.once("data", () => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n${text}`);
        socket.resume();
      });
    }),
  );
  const { token } = apps.ada;
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("first");
  await new Promise<void>((resolve) => connections[0]!.end(resolve));
  await apps.send(`127.0.0.1:${apps.test.port}`, "/healthz");
  expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("again");
});

test("security S17: a program is dialled at its own agent and port, whatever the request says", async () => {
  await using apps = await startApps();
  await apps.program(8080, (_request, response) => response.end("ok"));
  const { token } = apps.ada;
  for (const label of ["0", "1", "8", "65536", "080", "1e3"]) {
    const answer = await apps.send(apps.host(label), "/", { token });
    expect([label, answer.status]).toEqual([
      label,
      expect.toSatisfy((status: number) => status === 400 || status === 404),
    ]);
  }
  expect(apps.dialled).toEqual([]);
  for (const path of ["/@evil.example/", "//evil.example/x", "/http://169.254.169.254/", "/?url=http://[::1]/"])
    expect((await apps.send(apps.host(8080), path, { token })).text).toBe("ok");
  expect(new Set(apps.dialled.map(({ agentId, port }) => `${agentId} ${port}`))).toEqual(
    new Set([`${apps.agentId} 8080`]),
  );
});

test("security S17: no request to one agent reaches another", async () => {
  await using apps = await startApps();
  const spied = await addWorkspace(apps.test.url, apps.bob.token, "spied");
  const spiedAgent: string = spied.latest_build.resources[0].agents[0].id;
  await apps.test.server.parts.agentState.connected(spiedAgent, "2.0", "c");
  const spiedHost = `8080--main--spied--bob.coder.localhost:${apps.test.port}`;
  await apps.program(8080, (request, response) =>
    request.url === "/redirect"
      ? response.writeHead(302, { Location: `http://${spiedHost}/` }).end()
      : response.end(request.headers.host),
  );
  const { token } = apps.ada;
  const declare = (slug: string, url: string) =>
    send(apps.test.url, "POST", `/api/v2/workspaces/${apps.workspaceId}/apps`, { token, body: { slug, url } });
  for (const url of [
    "http://169.254.169.254/",
    "http://[::1]@evil.example/",
    `http://${spiedHost}/`,
    "unix:/run/x.sock",
    "file:///etc/passwd",
    "http://localhost:8/",
    "http://127.0.0.1:8080@spied/",
  ])
    expect([url, (await declare("spy", url)).status]).toEqual([url, 400]);
  expect((await declare("web", "http://localhost:8080")).status).toBe(201);
  for (const host of [apps.host(8080), apps.host("web")]) {
    const [name] = host.split(":");
    const headers = {
      "X-Forwarded-Host": spiedHost,
      Forwarded: `host=${spiedHost}`,
      "X-Original-URL": `http://${spiedHost}/`,
      "X-Rewrite-URL": "/@bob/spied/apps/web/",
      Referer: `http://${spiedHost}/`,
    };
    for (const path of ["/", `/@bob/spied/apps/web/`, `/?host=${spiedHost}&agent=${spiedAgent}`, `//${spiedHost}/`])
      expect([path, (await apps.send(host, path, { token, headers })).text]).toEqual([path, host]);
    const redirect = await apps.send(host, "/redirect", { token });
    expect([redirect.status, redirect.headers.location]).toEqual([302, `http://${spiedHost}/`]);
    const head = `Coder-Session-Token: ${token}\r\nConnection: close\r\n\r\n`;
    await raw(apps.test.port, `GET http://${spiedHost}/ HTTP/1.1\r\nHost: ${host}\r\n${head}`);
    await raw(apps.test.port, `GET / HTTP/1.1\r\nHost: ${host}\r\nHost: ${spiedHost}\r\n${head}`);
    await raw(apps.test.port, `GET / HTTP/1.1\r\nHost: ${spiedHost}@${name}\r\n${head}`);
  }
  expect((await apps.send(spiedHost, "/", { token })).status).toBe(404);
  expect(new Set(apps.dialled.map(({ agentId, port }) => `${agentId} ${port}`))).toEqual(
    new Set([`${apps.agentId} 8080`]),
  );
  // The other agent's owner reaches that agent, on a separate connection.
  expect((await apps.send(spiedHost, "/", { token: apps.bob.token })).text).toBe(spiedHost);
  expect(apps.dialled.at(-1)).toEqual({ agentId: spiedAgent, port: 8080 });
});

test("security S25: a client that does not read makes its program wait, and the server buffers little of the answer", async () => {
  await using apps = await startApps();
  const chunk = Buffer.alloc(1024 * 1024);
  const total = 1024;
  let produced = 0;
  await apps.program(8080, (request, response) => {
    if (request.url !== "/endless") return void response.end("ok");
    const more = (): void => {
      while (produced < total && !response.destroyed) {
        produced++;
        if (!response.write(chunk)) return void response.once("drain", more);
      }
      response.end();
    };
    more();
  });
  const { token } = apps.ada;
  const lazy = httpRequest({
    host: "127.0.0.1",
    port: apps.test.port,
    path: "/endless",
    headers: { Host: apps.host(8080), "Coder-Session-Token": token },
  }).end();
  const [answer] = (await once(lazy, "response")) as [IncomingMessage];
  answer.pause().on("error", () => undefined);
  for (let count = 0; count < 50; count++) expect((await apps.send(apps.host(8080), "/", { token })).text).toBe("ok");
  expect(produced).toBeLessThan(64);
  lazy.destroy();
});

test("security S25: heads of requests to apps that come byte by byte are not waited for", async () => {
  await using apps = await startApps({ deps: { limits: { headersTimeoutMs: 300, connectionsCheckMs: 50 } } });
  await apps.program(8080, (_request, response) => response.end("ok"));
  const text = `GET / HTTP/1.1\r\nHost: ${apps.host(8080)}\r\nX: `;
  const socket = connect(apps.test.port, "127.0.0.1");
  const closed = once(socket, "close");
  socket.on("error", () => undefined).resume();
  let sent = 0;
  const timer = setInterval(() => socket.write(text.charAt(sent++) || "y"), 10);
  await closed;
  clearInterval(timer);
  expect(apps.dialled).toEqual([]);
  expect((await apps.send(apps.host(8080), "/", { token: apps.ada.token })).text).toBe("ok");
});

test("a client that expects 100 Continue gets it once its request is admitted, and not before", async () => {
  await using apps = await startApps();
  await apps.program(8080, async (request, response) => {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    response.end(`${request.headers.expect} ${text}`);
  });
  const ask = (token: string) => {
    const request = httpRequest({
      host: "127.0.0.1",
      port: apps.test.port,
      method: "POST",
      headers: { Host: apps.host(8080), "Coder-Session-Token": token, Expect: "100-continue", "Content-Length": "4" },
    });
    request.flushHeaders();
    return request;
  };
  const admitted = ask(apps.ada.token);
  await once(admitted, "continue");
  admitted.end("body");
  const [answer] = (await once(admitted, "response")) as [IncomingMessage];
  expect(String(await answer.toArray())).toBe("undefined body");
  const refused = ask(apps.bob.token);
  let continued = false;
  refused.on("continue", () => {
    continued = true;
  });
  const [refusal] = (await once(refused, "response")) as [IncomingMessage];
  expect([refusal.statusCode, continued]).toEqual([404, false]);
  refused.destroy();
});

test("early hints are forwarded, other interim answers are not, and too many end the request", async () => {
  await using apps = await startApps();
  await apps.program(8080, (request, response) => {
    const count = request.url === "/storm" ? 1_000 : 2;
    for (let i = 0; i < count; i++) response.writeProcessing();
    response.writeEarlyHints({ link: ["</a.css>; rel=preload; as=style", "</b.js>; rel=modulepreload"] });
    response.end("done");
  });
  // Headers that Node would refuse to write are dropped.
  const odd = createNetServer((socket) => {
    const hint = 'HTTP/1.1 103 Early Hints\r\nLink: <a>; rel="x y z"; ;; <\r\n\r\n';
    socket
      .on("error", () => undefined)
      .on("data", () => socket.end(`${hint}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok`));
  });
  await apps.listen(8081, odd);
  const ask = async (port: number, path: string) => {
    const seen: unknown[] = [];
    const request = httpRequest({
      host: "127.0.0.1",
      port: apps.test.port,
      path,
      headers: { Host: apps.host(port), "Coder-Session-Token": apps.ada.token },
    });
    request.on("information", ({ statusCode, headers }) => seen.push([statusCode, headers["link"]]));
    const [answer] = (await once(request.end(), "response")) as [IncomingMessage];
    await answer.toArray();
    return [answer.statusCode, seen];
  };
  const links = "</a.css>; rel=preload; as=style, </b.js>; rel=modulepreload";
  expect(await ask(8080, "/")).toEqual([200, [[103, links]]]);
  expect(await ask(8081, "/")).toEqual([200, []]);
  expect(await ask(8080, "/storm")).toEqual([502, []]);
});

test("a development server that refuses the public name is recognized, and its answer remains complete", async () => {
  await using apps = await startApps();
  const bodies: Readonly<Record<string, string>> = {
    "/vite": 'Blocked request. This host ("x.coder.localhost") is not allowed.\nAdd it to server.allowedHosts.',
    "/webpack": "Invalid Host header",
    "/other": "Forbidden",
    "/empty": "",
    "/long": `Invalid Host header ${"x".repeat(300_000)}`,
  };
  await apps.program(8080, (request, response) => {
    response.writeHead(403, { "Content-Type": "text/plain" });
    response.end(bodies[request.url ?? "/"]);
  });
  for (const [path, body] of Object.entries(bodies)) {
    const answer = await apps.send(apps.host(8080), path, { token: apps.ada.token });
    expect([path, answer.status, answer.text === body]).toEqual([path, 403, true]);
    expect(answer.headers["coder-hint"]).toBe(path === "/other" || path === "/empty" ? undefined : "host_header");
  }
});
