/** Pages of a hostile app and of a hostile site, in the browser of a logged-in user. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, BrowserContext, Cookie, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { AppDeployment, type Program } from "./app-deployment.ts";
import { launch, logInByForm, missing } from "./chromium.ts";

const ATTACK = readFileSync(join(import.meta.dirname, "hostile-page.mjs"), "utf8").replace("export ", "");

/** Which answers the page could read. */
const attack = (page: Page, targets: { readonly app: string; readonly api: string }): Promise<string[]> =>
  page.evaluate<string[]>(`${ATTACK}; attack(${JSON.stringify(targets)})`);

const OWN_NAMES = [
  "coder_session_token",
  "__Host-coder_session",
  "csrf_token",
  "__Host-csrf_token",
  "coder_app_session",
  "__Host-coder_app_session",
  "coder_app_state",
  "__Host-coder_app_state",
  "coder_signed_app_token",
];

const html: RequestListener = (_request, response) =>
  response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><title>app</title><h1>An app</h1>");

/** Cookies that a page tries to set and to remove. */
function cookiesOfScript(): string[] {
  const reaches = ["", "; Domain=coder.localhost", "; Domain=localhost"].flatMap((domain) =>
    ["/", "/api", "/api/v2/users/me"].map((path) => `; Path=${path}${domain}`),
  );
  return OWN_NAMES.flatMap((name) =>
    reaches.flatMap((reach) => [
      `${name}=by-script${reach}`,
      `${name}=by-script${reach}; Secure`,
      `${name}=${reach}; Secure; Max-Age=0`,
      `${name}=by-script${reach}; Secure`,
    ]),
  );
}

/** Opens an app through the sign-in. */
async function openApp(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/`);
  await page.getByRole("heading", { name: "An app" }).waitFor();
}

const nameOfUser = async (page: Page, url: string): Promise<string> => {
  await page.goto(`${url}/settings/account`);
  return await page.getByLabel("User name").inputValue();
};

describe.skipIf(missing.length > 0)(`hostile apps (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(async () => {
    await browser?.close();
  });

  describe("over https", () => {
    let apps: AppDeployment;
    let context: BrowserContext;
    let page: Page;
    let own: Program;
    let evil: Program;
    beforeAll(async () => {
      apps = await AppDeployment.start("https");
      own = await apps.program(html);
      evil = await apps.program((request, response) => {
        response.setHeader("Clear-Site-Data", '"cookies", "storage"');
        const tossed = OWN_NAMES.flatMap((name) => [
          `${name}=by-server; Path=/; Secure`,
          `${name}=by-server; Path=/; Domain=coder.localhost`,
          `${name}=by-server; Path=/api; Domain=.coder.localhost`,
        ]);
        response.setHeader("Set-Cookie", [...tossed, "theirs=by-server; Domain=coder.localhost; Path=/"]);
        html(request, response);
      });
    });
    afterAll(() => apps?.close());
    beforeEach(async () => {
      context = await browser.newContext({ ignoreHTTPSErrors: true });
      page = await context.newPage();
      await logInByForm(page, apps.deployment);
    });
    afterEach(() => context.close());

    it("security S1: neither an app nor its page sets, replaces or removes a cookie of the deployment or of another app", async () => {
      await openApp(page, apps.demo(own.port));
      const ours = (cookies: readonly Cookie[]) => cookies.filter(({ name }) => name.startsWith("__Host-"));
      const before = ours(await context.cookies());
      expect(
        before.map(({ name, domain, path, httpOnly, secure, sameSite }) => ({
          name,
          host: domain.replace(/^\d+--/, ""),
          path,
          httpOnly,
          secure,
          sameSite,
        })),
      ).toEqual(
        expect.arrayContaining(
          [
            { name: "__Host-coder_session", host: "coder.localhost", httpOnly: true, sameSite: "Lax" },
            { name: "__Host-csrf_token", host: "coder.localhost", httpOnly: false, sameSite: "Strict" },
            {
              name: "__Host-coder_app_session",
              host: "main--demo--owner.coder.localhost",
              httpOnly: true,
              sameSite: "Lax",
            },
          ].map((cookie) => ({ path: "/", secure: true, ...cookie })),
        ),
      );
      const other = await context.newPage();
      await openApp(other, apps.other(evil.port));
      // The program set cookies for its own host only.
      const fromServer = (await context.cookies()).filter(({ value }) => value === "by-server");
      for (const { name, domain } of fromServer)
        expect([name, domain]).toEqual([expect.not.stringContaining("coder"), new URL(apps.other(evil.port)).hostname]);
      expect(fromServer.map(({ name }) => name)).toContain("theirs");
      const seen = await other.evaluate<string>(`
        for (const cookie of ${JSON.stringify(cookiesOfScript())}) document.cookie = cookie;
        document.cookie`);
      for (const { value } of before) expect(seen).not.toContain(value);
      // A browser refuses the prefix in combination with a domain; for its own host the app may set what it likes.
      const after = ours(await context.cookies()).filter(({ domain }) => !domain.includes("--other--bob."));
      const values = (cookies: readonly Cookie[]) => cookies.map(({ name, domain, value }) => [name, domain, value]);
      expect(values(after)).toEqual(expect.arrayContaining(values(before)));
      expect(after).toHaveLength(before.length);
      // The script's unprefixed cookies do reach the deployment, where they have no effect.
      const tossed = (await context.cookies(apps.url)).filter(({ value }) => value === "by-script");
      expect(tossed.map(({ name }) => name)).toContain("coder_session_token");
      expect(await nameOfUser(page, apps.url)).toBe("owner");
      const hits = own.requests.length;
      await openApp(page, apps.demo(own.port));
      expect(own.requests).toHaveLength(hits + 1);
      // Nor do those cookies reach another program.
      expect(own.requests.at(-1)!.headers.cookie ?? "").not.toContain("coder");
    });
  });

  describe("over http", () => {
    let apps: AppDeployment;
    let context: BrowserContext;
    let page: Page;
    let own: Program;
    let sibling: Program;
    let evil: Program;
    beforeAll(async () => {
      apps = await AppDeployment.start("http");
      [own, sibling, evil] = await Promise.all([apps.program(html), apps.program(html), apps.program(html)]);
    });
    afterAll(() => apps?.close());
    beforeEach(async () => {
      context = await browser.newContext();
      page = await context.newPage();
    });
    afterEach(() => context.close());

    it("security S3: programs on localhost receive no cookie of a deployment at coder.localhost, and a login at localhost is warned of", async () => {
      let log = "";
      apps.deployment.server!.stderr!.on("data", (chunk) => {
        log += String(chunk);
      });
      const cookiesAt = async (host: string): Promise<string> => {
        await page.goto(`http://${host}:${own.port}/`);
        return own.requests.at(-1)?.headers.cookie ?? "";
      };
      await logInByForm(page, apps.deployment);
      await openApp(page, apps.demo(own.port));
      expect(own.requests.at(-1)?.headers.cookie ?? "").not.toContain("coder");
      for (const host of ["localhost", "127.0.0.1"]) expect([host, await cookiesAt(host)]).toEqual([host, ""]);
      expect(log).not.toContain("ECOOK01");
      const { port } = new URL(apps.url);
      for (const host of ["localhost", "127.0.0.1"]) {
        await context.clearCookies();
        await logInByForm(page, { url: `http://${host}:${port}` });
        await expect.poll(() => log).toMatch(new RegExp(`ECOOK01.*${host.replaceAll(".", "\\.")}`));
        // The reason for the warning: cookies do not depend on the port.
        expect(await cookiesAt(host)).toContain("coder_session_token=");
      }
    });

    it("security S7: a page of another owner's app, or of another site, uses no session of its visitor", async () => {
      await logInByForm(page, apps.deployment);
      for (const origin of [apps.demo(own.port), apps.demo(sibling.port), apps.other(evil.port)])
        await openApp(page, origin);
      const state = async (): Promise<unknown> =>
        await Promise.all(
          ["workspaces", "users", "users/owner/keys/tokens", "users/me"].map(async (path) => {
            const answer = (await (await apps.deployment.api("GET", `/api/v2/${path}`)).json()) as object;
            return JSON.stringify(answer, (key, value) => (/_at$|_seen|last_used/.test(key) ? undefined : value));
          }),
        );
      const before = await state();
      const outside = createServer(html).listen(0, "127.0.0.1");
      await once(outside, "listening");
      const foreign = [apps.other(evil.port), `http://127.0.0.1:${(outside.address() as AddressInfo).port}`];
      for (const origin of foreign) {
        const answers: string[] = [];
        context.on("response", (response) => {
          const { origin: at, pathname } = new URL(response.url());
          // Policy reports come from every page and are anonymous.
          const isOfApi = at === apps.url && pathname.startsWith("/api/") && pathname !== "/api/v2/csp/reports";
          if (isOfApi || at === apps.demo(own.port))
            answers.push(`${response.status()} ${response.request().method()} ${response.url()}`);
        });
        own.requests.length = 0;
        await openApp(page, origin);
        const readable = await attack(page, { app: apps.demo(own.port), api: apps.url });
        expect([origin, readable]).toEqual([origin, []]);
        expect([origin, own.requests.map(({ method, url }) => `${method} ${url}`)]).toEqual([origin, []]);
        expect(answers.length).toBeGreaterThan(20);
        expect(answers.filter((answer) => !/^(303|400|401|403|404) /.test(answer))).toEqual([]);
        context.removeAllListeners("response");
      }
      outside.close();
      outside.closeAllConnections();
      expect(await state()).toEqual(before);
      // The same requests, from the app's own page and from another app of its owner, do reach it.
      for (const origin of [apps.demo(own.port), apps.demo(sibling.port)]) {
        await openApp(page, origin);
        own.requests.length = 0;
        await attack(page, { app: apps.demo(own.port), api: apps.url });
        expect([origin, own.requests.length > 4]).toEqual([origin, true]);
      }
    });

    it("security S26: no app registers a service worker for the deployment's own pages", async () => {
      await logInByForm(page, apps.deployment);
      await openApp(page, apps.demo(own.port));
      const outcome = await page.evaluate<string>(
        `navigator.serviceWorker.register("${apps.url}/assets/worker.js").then(() => "registered", (error) => error.name)`,
      );
      expect(outcome).toBe("SecurityError");
    });
  });
});
