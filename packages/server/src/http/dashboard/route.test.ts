import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { type DashboardFiles, readBuildOutput } from "./build-output.ts";
import { fillPage } from "./page.ts";
import { PAGE_HEADERS, pagePolicy, tunnelWorkerPolicy, workerPolicy } from "./policy.ts";
import { dashboardRoute } from "./route.ts";

const SCRIPT = `export const text = "${"x".repeat(2000)}";`;
const FILES: Readonly<Record<string, string | Buffer>> = {
  "index.html": "<!doctype html><head><!--head--></head><body></body>",
  "manifest.json": JSON.stringify([
    {
      path: "assets/main-1.js",
      size: SCRIPT.length,
      type: "text/javascript; charset=utf-8",
      sha256: "a".repeat(64),
      compressed: ["br", "gz"],
    },
    ...["worker-Ab_9", "shared-worker-Ab_9"].map((name) => ({
      path: `assets/worker/${name}.js`,
      size: 1,
      type: "text/javascript; charset=utf-8",
      sha256: "c".repeat(64),
      compressed: [],
    })),
    { path: "icon/coder.svg", size: 6, type: "image/svg+xml", sha256: "b".repeat(64), compressed: [] },
  ]),
  "routes.json": JSON.stringify([
    { pattern: "^/workspaces$", preload: ["/assets/list-1.js"] },
    { pattern: "^/(?:@|%40)(?<owner>[a-z]+)/(?<workspace>[a-z]+)$", preload: [] },
  ]),
  "assets/main-1.js": SCRIPT,
  "assets/main-1.js.br": brotliCompressSync(SCRIPT),
  "assets/main-1.js.gz": gzipSync(SCRIPT),
  "assets/worker/worker-Ab_9.js": ";",
  "assets/worker/shared-worker-Ab_9.js": ";",
  "icon/coder.svg": "<svg/>",
};
const files: DashboardFiles = {
  read: (name) => (Object.hasOwn(FILES, name) ? Buffer.from(FILES[name]!) : undefined),
};

let server: Server | undefined;
const logged: string[] = [];

afterEach(() => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
  logged.length = 0;
});

async function start(secure = false): Promise<string> {
  const route = dashboardRoute({
    output: readBuildOutput(files)!,
    boot: async () => ({ user: null, ready: true, version: "v1</script>" }),
    relaySockets: () => ["wss://relay.example.net"],
    isSecure: () => secure,
    connectOrigins: () => ["https://relay.example.com"],
    logReport: (report) => void logged.push(report),
  });
  server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://unused");
    if (route.match(url, request.method ?? "GET")) void route.handle(request, response);
    else response.writeHead(599).end("another part");
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** fetch would decode the answer, but the raw bytes are needed. */
const html = { headers: { Accept: "text/html,*/*;q=0.8" } };

describe("pages", () => {
  it("security S23: have the policy, with a nonce of their own each time", async () => {
    const base = await start();
    const nonces = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const answer = await fetch(`${base}/workspaces`, html);
      expect(answer.status).toBe(200);
      const nonce = /'nonce-([^']+)'/.exec(answer.headers.get("content-security-policy") ?? "")?.[1] ?? "";
      expect(Buffer.from(nonce, "base64")).toHaveLength(16);
      nonces.add(nonce);
      const socketOrigin = base.replace("http:", "ws:");
      expect(answer.headers.get("content-security-policy")).toBe(
        pagePolicy({ nonce, connect: [socketOrigin, "https://relay.example.com"] }),
      );
      for (const [name, value] of Object.entries(PAGE_HEADERS)) expect(answer.headers.get(name)).toBe(value);
      expect(answer.headers.get("cache-control")).toBe("no-store");
      const text = await answer.text();
      expect(text).toContain(`<meta name="csp-nonce" nonce="${nonce}">`);
      expect(text).toContain('<link rel="modulepreload" crossorigin href="/assets/list-1.js">');
      expect(text).not.toContain("v1</script>");
    }
    expect(nonces.size).toBe(3);
  });

  it("security S23: the policy is this, byte for byte", () => {
    expect(pagePolicy({ nonce: "N", connect: ["wss://coder.example.com", "https://relay.example.com"] })).toBe(
      "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-N'; img-src 'self' data:; font-src 'self'; " +
        "connect-src 'self' wss://coder.example.com https://relay.example.com; worker-src 'self'; manifest-src 'self'; form-action 'self'; " +
        "frame-src 'none'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; " +
        "require-trusted-types-for 'script'; trusted-types coder; report-uri /api/v2/csp/reports",
    );
  });

  it("name no IPv6 literal, which no policy can contain", () => {
    const connect = ["ws://[::1]:3000", "https://relay.example.com", "https://[2001:db8::1]", ""];
    expect(pagePolicy({ nonce: "N", connect })).toContain("; connect-src 'self' https://relay.example.com; ");
    expect(workerPolicy("wss://[::1]")).toContain("; connect-src 'self'; ");
    expect(tunnelWorkerPolicy("wss://[::1]", connect)).toContain("; connect-src 'self' https://relay.example.com; ");
  });

  it("name the socket's origin by https where clients use it", async () => {
    const base = await start(true);
    const policy = (await fetch(`${base}/workspaces`, html)).headers.get("content-security-policy");
    expect(policy).toContain(`connect-src 'self' ${base.replace("http:", "wss:")} `);
  });

  it("that do not exist have the status 404, for browsers as a page and for others as JSON", async () => {
    const base = await start();
    const page = await fetch(`${base}/templates`, html);
    expect([page.status, page.headers.get("content-type")]).toEqual([404, "text/html; charset=utf-8"]);
    const other = await fetch(`${base}/templates`);
    expect([other.status, other.headers.get("content-type")]).toEqual([404, "application/json; charset=utf-8"]);
    expect((await fetch(`${base}/workspaces`)).status).toBe(200);
    expect((await fetch(`${base}/workspaces`, { headers: { Accept: "application/json" } })).status).toBe(404);
    expect((await fetch(`${base}/%40alice/box`, html)).status).toBe(200);
    expect((await fetch(`${base}/@alice/box/`, html)).status).toBe(200);
    expect((await fetch(`${base}/@alice/box/..%2f`, html)).status).toBe(404);
  });

  it("leave everything that other parts answer alone", async () => {
    const base = await start();
    for (const path of [
      "/api/v2/users/me",
      "/api",
      "/derp",
      "/bin/",
      "/cli-auth",
      "/install.sh",
      "/healthz",
      "/readyz",
      "/latency-check",
    ]) {
      expect((await fetch(`${base}${path}`, html)).status).toBe(599);
    }
    expect((await fetch(`${base}/workspaces`, { ...html, method: "POST" })).status).toBe(599);
  });
});

describe("files", () => {
  it("go out in the smallest form that the client takes", async () => {
    const base = await start();
    const ask = (encoding: string) =>
      fetch(`${base}/assets/main-1.js`, { method: "HEAD", headers: { "Accept-Encoding": encoding } });
    const headersFor = async (encoding: string) => {
      const { headers } = await ask(encoding);
      return [headers.get("content-encoding"), headers.get("vary"), headers.get("etag")];
    };
    const tag = (form: string) => `"${"a".repeat(32)}-${form}"`;
    expect(await headersFor("gzip, deflate, br")).toEqual(["br", "Accept-Encoding", tag("br")]);
    expect(await headersFor("br;q=0, gzip")).toEqual(["gzip", "Accept-Encoding", tag("gzip")]);
    expect(await headersFor("identity")).toEqual([null, "Accept-Encoding", tag("identity")]);
    expect(await (await fetch(`${base}/assets/main-1.js`)).text()).toBe(SCRIPT);
    expect(gunzipSync(FILES["assets/main-1.js.gz"]!).toString()).toBe(SCRIPT);
  });

  it("are kept permanently by browsers, or revalidated by their tag", async () => {
    const base = await start();
    const first = await fetch(`${base}/assets/main-1.js`);
    expect(first.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const again = await fetch(`${base}/assets/main-1.js`, { headers: { "If-None-Match": first.headers.get("etag")! } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    expect((await fetch(`${base}/icon/coder.svg`)).headers.get("cache-control")).toBe("no-cache");
  });

  it("security S23: are served by exact name only, each with a policy", async () => {
    const base = await start();
    for (const path of [
      "/assets/main-1.js.br",
      "/assets/",
      "/assets/..%2findex.html",
      "/assets/manifest.json",
      "/icon/x",
    ]) {
      const answer = await fetch(`${base}${path}`, html);
      expect([path, answer.status, answer.headers.get("content-type")]).toEqual([
        path,
        404,
        "application/json; charset=utf-8",
      ]);
    }
    for (const path of ["/assets/main-1.js", "/icon/coder.svg"]) {
      const { headers } = await fetch(`${base}${path}`);
      expect(headers.get("content-security-policy")).toBe("default-src 'none'; frame-ancestors 'none'");
    }
    const own = base.replace("http:", "ws:");
    for (const [name, policy] of [
      ["shared-worker-Ab_9", `default-src 'none'; connect-src 'self' ${own}; frame-ancestors 'none'`],
      [
        "worker-Ab_9",
        `default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src 'self' ${own} wss://relay.example.net; frame-ancestors 'none'`,
      ],
    ]) {
      const { headers } = await fetch(`${base}/assets/worker/${name}.js`);
      expect(headers.get("content-security-policy")).toBe(policy);
    }
    const posted = await fetch(`${base}/assets/main-1.js`, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });
});

describe("reports of violations", () => {
  it("reach the log, one in a second at most, and no long ones", async () => {
    const base = await start();
    const report = (body: string) => fetch(`${base}/api/v2/csp/reports`, { method: "POST", body });
    expect((await report("x".repeat(9000))).status).toBe(413);
    expect(logged).toEqual([]);
    expect((await report('{"csp-report":{}}')).status).toBe(204);
    expect((await report('{"csp-report":{"a":1}}')).status).toBe(204);
    expect(logged[0]).toBe('{"csp-report":{}}');
  });
});

describe("the build's output", () => {
  it("is absent where nothing was built", () => {
    expect(readBuildOutput({ read: () => undefined })).toBeUndefined();
  });
  it("is refused when a file is missing or is another one", () => {
    const without = (name: string): DashboardFiles => ({
      read: (asked) => (asked === name ? undefined : files.read(asked)),
    });
    expect(() => readBuildOutput(without("assets/main-1.js.br"))).toThrow("lacks assets/main-1.js.br");
    const changed: DashboardFiles = {
      read: (name) => (name === "icon/coder.svg" ? Buffer.from("<") : files.read(name)),
    };
    expect(() => readBuildOutput(changed)).toThrow("not the file that was built");
  });
  it("S21: boot data cannot end its element", () => {
    const page = fillPage("<!--head-->", {
      nonce: "N",
      boot: { user: null, ready: true, version: "</script><img src=x onerror=alert(1)>$&" },
      preload: [],
    });
    expect(page.match(/<\/script>/g)).toHaveLength(1);
    expect(page).toContain("\\u003c/script>\\u003cimg src=x onerror=alert(1)>$&");
  });
});
