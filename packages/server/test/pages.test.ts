/** The security headers of every answer, on every route: pages that cannot be framed and run no foreign script. */
import { request } from "node:http";
import { SESSION_TOKEN_HEADER } from "coder-protocol/rest/common";
import { expect, test } from "vitest";
import { firstUser, PASSWORD, startServer } from "./helpers.ts";

interface Head {
  readonly status: number;
  readonly type: string;
  readonly policy: string;
  readonly frameOptions: string;
}

/** The head of the answer. The body, which may have no end, is not read. */
function headOf(
  port: number,
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string,
): Promise<Head> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      const { headers: got } = response;
      resolve({
        status: response.statusCode ?? 0,
        type: String(got["content-type"] ?? ""),
        policy: String(got["content-security-policy"] ?? ""),
        frameOptions: String(got["x-frame-options"] ?? ""),
      });
      response.destroy();
    });
    asking.on("error", reject);
    asking.end(body);
  });
}

test("security 10: every HTML page has a policy without unsafe-inline that no page may frame, and so has every other answer", async () => {
  await using test = await startServer({ flags: { "stun-address": "disable" } });
  const { token } = await firstUser(test.url);
  const routes = test.server.http.router.routes.filter(({ method }) => method === "GET");
  const paths = routes.map(({ path }) => path.replaceAll(/:\w+/g, "me").replaceAll("*", "x"));
  const asked: [string, string, Record<string, string>, string?][] = [];
  for (const path of new Set([...paths, "/", "/nowhere", "/derp", "/derp/probe", "/derp/latency-check", "/healthz"])) {
    for (const headers of [{}, { Accept: "text/html" }, { Accept: "text/html", [SESSION_TOKEN_HEADER]: token }]) {
      asked.push(["GET", path, headers]);
    }
  }
  const form = { "Content-Type": "application/x-www-form-urlencoded" };
  const login = new URLSearchParams({ email: "ada@example.com", password: PASSWORD }).toString();
  asked.push(["GET", "/", { Host: "evil.example" }]);
  asked.push(["POST", "/cli-auth", form, login], ["POST", "/cli-auth", { ...form, Origin: test.url }, login]);
  asked.push(["POST", "/cli-auth", { ...form, Origin: test.url }, "email=a&password=b"]);

  const pages = new Set<string>();
  for (const [method, path, headers, body] of asked) {
    const what = `${method} ${path} ${JSON.stringify(headers)}`;
    const head = await headOf(test.port, method, path, headers, body);
    expect(head.policy, what).toContain("frame-ancestors 'none'");
    expect(head.policy, what).toMatch(/(^|; )default-src 'none'/);
    expect(head.policy, what).not.toMatch(/unsafe-(inline|eval|hashes)|\*|data:/);
    expect(head.frameOptions, what).toBe("DENY");
    if (head.type.startsWith("text/html")) pages.add(`${method} ${path} ${head.status}`);
  }
  // Additions to this list have to be tested above.
  expect([...pages].sort()).toEqual([
    "GET /api/v2/debug/coordinator 200",
    "GET /api/v2/debug/tailnet 200",
    "GET /cli-auth 200",
    "POST /cli-auth 200",
    "POST /cli-auth 401",
  ]);
});
