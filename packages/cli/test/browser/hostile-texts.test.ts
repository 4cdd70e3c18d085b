/**
 * Crawls a deployment full of hostile texts: every page with every parameter. None of the texts may run, send a request or change
 * anything.
 */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, watchedPage } from "./chromium.ts";

const HOSTILE = `"><img src=x onerror=alert(1)><script>alert(2)</script>\u202e\u0007javascript:alert(3)`;
const LONG = "\u{1f4a3}".repeat(2_500);

/** The pages behind the login, except the terminal, and addresses that are no pages. */
const PAGES = [
  "/workspaces",
  "/workspaces/new",
  "/workspaces/new?made=demo",
  "/@owner/demo",
  "/@owner/demo/settings",
  "/settings/account",
  "/settings/security",
  "/settings/tokens",
  "/settings/appearance",
  "/users",
  "/users/owner",
  "/users/missing",
  "/health",
  "/deployment/overview",
  "/deployment/network",
  "/deployment/proxies",
  "/deployment/shares",
  "/deployment/connections",
  "/templates",
] as const;
/** Parameters that pages read, and others that they might be expected to read. */
const PARAMETERS = [
  "filter",
  "name",
  "made",
  "redirect",
  "command",
  "add",
  "create",
  "start",
  "callback",
  "state",
  "q",
];

describe.skipIf(missing.length > 0)(`hostile texts (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    await deployment.api("PUT", "/api/v2/users/me/profile", { username: "owner", name: HOSTILE.slice(0, 120) });
    const made = await deployment.api("POST", "/api/v2/users/me/workspaces", {
      name: "demo",
      agent_metadata: [
        { key: "one", display_name: HOSTILE, script: `printf '%s' '${HOSTILE}'`, interval_seconds: 1 },
        { key: "two", display_name: "long", script: `printf '%s' '${LONG}'`, interval_seconds: 1 },
      ],
      agent_scripts: [{ display_name: HOSTILE, script: `printf '%s\\n' '${HOSTILE}'; exit 3`, run_on_start: true }],
    });
    const { id } = (await made.json()) as { id: string };
    await deployment.api("POST", `/api/v2/workspaces/${id}/port-share`, {
      agent_name: "main",
      port: 4000,
      share_level: "authenticated",
      protocol: "http",
      label: HOSTILE.slice(0, 60),
    });
    const credentials = await deployment.api("GET", `/api/v2/workspaces/${id}/external-agent/main/credentials`);
    deployment.startAgent(((await credentials.json()) as { agent_token: string }).agent_token);
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  it("security S21, S24: no page runs a text, asks another host or changes anything, whatever its address says", async () => {
    await logInByForm(page, deployment);
    const writes: string[] = [];
    page.on("request", (request) => {
      if (request.method() !== "GET") writes.push(`${request.method()} ${request.url()}`);
    });
    const query = PARAMETERS.map((name) => `${name}=${encodeURIComponent(HOSTILE)}`).join("&");
    for (const path of PAGES) {
      for (const address of [path, `${path}${path.includes("?") ? "&" : "?"}${query}#${encodeURIComponent(HOSTILE)}`]) {
        await page.goto(`${deployment.url}${address}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.locator("[aria-busy=true]").waitFor({ state: "detached" });
        expect([address, await page.locator("main img, main script, main iframe").count()]).toEqual([address, 0]);
        await page.evaluate("for (const one of document.querySelectorAll('main details')) one.open = true");
      }
    }
    expect(writes).toEqual([]);
  });
});
