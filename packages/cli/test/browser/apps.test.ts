/** Declared apps in a real browser: added on the page, opened at their own host, approved when the agent requests it. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, watchedPage } from "./chromium.ts";

const MANIFEST = join(import.meta.dirname, "../../dist/dashboard/manifest.json");

describe.skipIf(missing.length > 0)(`apps (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let program: Server;
  let address: string;

  beforeAll(async () => {
    program = createServer((request, response) => {
      const isScript = request.url?.endsWith(".js") === true;
      response
        .writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html", "Service-Worker-Allowed": "/" })
        .end(isScript ? "self.onfetch = () => {};" : "<!doctype html><title>app</title><h1>It is the app</h1>");
    });
    await new Promise<void>((resolve) => program.listen(0, "127.0.0.1", resolve));
    address = `http://127.0.0.1:${(program.address() as AddressInfo).port}`;
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    const token = await deployment.createWorkspace("demo");
    deployment.spawn(["agent", "--app", `slug=asked,url=${address},name=Asked <b>for</b>,share=authenticated`], {
      CODER_AGENT_URL: deployment.url,
      CODER_AGENT_TOKEN: token,
      CODER_CONFIG_DIR: undefined,
    });
  });
  afterAll(async () => {
    program?.closeAllConnections();
    program?.close();
    await browser?.close();
    await deployment?.close();
  });
  const workspaceId = async (): Promise<string> =>
    ((await (await deployment.api("GET", "/api/v2/users/me/workspace/demo")).json()) as { id: string }).id;
  beforeEach(async () => {
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
    await logInByForm(page, deployment);
  });
  afterEach(async () => {
    await context.close();
    expect(faults).toEqual({ violations: [], errors: [], dialogs: [], foreign: [] });
  });

  it("an app is added with the editor, warned about, and opened below its path", async () => {
    await page.goto(`${deployment.url}/@owner/demo/settings`);
    await page.getByText("Add an app").click();
    await page.getByLabel("Name in addresses").fill("web");
    await page.getByLabel("Display name").fill("My site");
    await page.getByLabel("Where the program listens").fill(address);
    await page.getByLabel("Icon").fill("/icon/code.svg");
    await page.getByRole("button", { name: "Add the app" }).click();
    await page.getByRole("rowheader", { name: "web" }).waitFor();
    await page.goto(`${deployment.url}/@owner/demo`);
    const row = page.getByRole("row", { name: /My site/ });
    await row.getByText("Runs with the rights of this page").waitFor();
    const opened = context.waitForEvent("page");
    await page.getByRole("link", { name: "Open My site" }).click();
    await (await opened).getByRole("heading", { name: "It is the app" }).waitFor();
  });

  it("what the machine asks for is shown as text, and shared with a click that agrees", async () => {
    await page.goto(`${deployment.url}/@owner/demo`);
    await page.getByText("Asked <b>for</b>").waitFor();
    await page.getByRole("button", { name: "Approve sharing Asked" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText(address).waitFor();
    // A click right after the button has appeared is ignored on purpose.
    const shownAt = await page.evaluate(() => performance.now());
    await page.waitForFunction((at) => performance.now() - at > 600, shownAt);
    await dialog.getByRole("button", { name: "Share" }).click();
    await page.getByRole("row", { name: /Asked/ }).getByText("Everyone who can log in here").waitFor();
  });

  it("security S26: the page of an app below a path registers no service worker, of its own or of the deployment's scripts", async () => {
    const added = await deployment.api("POST", `/api/v2/workspaces/${await workspaceId()}/apps`, {
      slug: "worker",
      url: address,
    });
    expect(added.status).toBe(201);
    await page.goto(`${deployment.url}/@owner/demo/apps/worker/`);
    await page.getByRole("heading", { name: "It is the app" }).waitFor();
    const assets = (JSON.parse(readFileSync(MANIFEST, "utf8")) as { path: string }[])
      .map(({ path }) => `/${path}`)
      .filter((path) => path.endsWith(".js"));
    expect(assets.length).toBeGreaterThan(5);
    const own = ["sw.js", "./a/sw.js", "/@owner/demo/apps/worker/sw.js", "/%40owner/demo/apps/worker/sw.js"];
    const none = ["/sw.js", "/service-worker.js", "/@owner/sw.js", "/api/v2/sw.js", "/derp/sw.js", "/install.js"];
    const attempts = [...own, ...none, ...assets].flatMap((script) =>
      [{}, { type: "module" }, { scope: "/" }].map((options) => [script, options] as const),
    );
    const outcomes = await page.evaluate<string[]>(`(async () => {
      const outcomes = [];
      for (const [script, options] of ${JSON.stringify(attempts)})
        outcomes.push(await navigator.serviceWorker.register(script, options).then(() => script, (error) => error.name));
      return outcomes;
    })()`);
    expect(outcomes.filter((outcome) => !["SecurityError", "TypeError"].includes(outcome))).toEqual([]);
    expect(
      await page.evaluate<number>("navigator.serviceWorker.getRegistrations().then((found) => found.length)"),
    ).toBe(0);
  });
});
