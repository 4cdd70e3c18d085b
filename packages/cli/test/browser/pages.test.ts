/** The dashboard in a real browser: login, lists, forms, and what no page may do. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { listenForLogin } from "../../src/rest/login-listener.ts";
import { PASSWORD, TestDeployment } from "../e2e/deployment.ts";
import { launch, logInByForm, missing, type PageFaults, seriousFaults, watchedPage } from "./chromium.ts";

const HOSTILE = "<img src=x onerror=alert(1)>\u202e";

describe.skipIf(missing.length > 0)(`the dashboard (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    const made = await deployment.api("POST", "/api/v2/users/me/workspaces", {
      name: "demo",
      agent_metadata: [{ key: "load", display_name: HOSTILE, script: `printf '%s' '${HOSTILE}'`, interval_seconds: 1 }],
      agent_scripts: [{ display_name: HOSTILE, script: `echo '${HOSTILE}'; exit 3`, run_on_start: true }],
    });
    const { id } = (await made.json()) as { id: string };
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

  it("a login that is wrong says so; one that is right leads to the workspaces", async () => {
    await page.goto(`${deployment.url}/workspaces`);
    await page.getByLabel("E-mail").fill("owner@example.com");
    await page.getByLabel("Password").fill("not the password");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").waitFor();
    expect(new URL(page.url()).pathname).toBe("/login");
    await logInByForm(page, deployment);
    await page.getByRole("link", { name: "demo", exact: true }).waitFor();
    expect(await page.title()).toBe("Workspaces · Coder");
  });

  it("security S11: a login leads to pages of this origin only", async () => {
    const evil = createServer((_request, response) => response.end("evil")).listen(0, "127.0.0.1");
    await once(evil, "listening");
    const host = `127.0.0.1:${(evil.address() as AddressInfo).port}`;
    await logInByForm(page, deployment);
    const targets = [`//${host}`, `/\\${host}`, `http://${host}`, `/\t/${host}`, `/.//${host}`, "javascript:alert(1)"];
    for (const target of targets) {
      await page.goto(`${deployment.url}/login?redirect=${encodeURIComponent(target)}`);
      await page.getByRole("heading", { name: "Workspaces", exact: true }).waitFor();
      expect(page.url()).toBe(`${deployment.url}/workspaces`);
    }
    await page.goto(`${deployment.url}/login?redirect=${encodeURIComponent("/settings/tokens")}`);
    await page.getByRole("heading", { name: "Tokens" }).waitFor();
    evil.close();
    evil.closeAllConnections();
  });

  it("security S21: texts of a workspace are text", async () => {
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/@owner/demo`);
    await page.getByText("Exit code 3").waitFor();
    await page.locator("dt", { hasText: "<img src=x" }).waitFor();
    await page.locator("dd", { hasText: "<img src=x" }).waitFor();
    await page.getByText("Log", { exact: true }).click();
    await page.locator("pre.log", { hasText: "<img src=x" }).waitFor();
    expect(await page.locator("main img").count()).toBe(0);
  });

  it("security S20: no page can be framed", async () => {
    const site = createServer((_request, response) => {
      response.writeHead(200, { "Content-Type": "text/html" });
      response.end(`<!doctype html><iframe src="${deployment.url}/login"></iframe>`);
    }).listen(0, "127.0.0.1");
    await once(site, "listening");
    const outside = await context.newPage();
    await outside.goto(`http://127.0.0.1:${(site.address() as AddressInfo).port}/`);
    const frame = outside.frames()[1];
    expect(await frame?.locator("input").count()).toBe(0);
    expect(frame?.url()).toBe("chrome-error://chromewebdata/");
    site.close();
    site.closeAllConnections();
  });

  it("an address that is no page says so, with the status 404", async () => {
    await logInByForm(page, deployment);
    const answer = await page.goto(`${deployment.url}/templates`);
    expect(answer?.status()).toBe(404);
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  });

  it("adding a machine: a name, a command with its token hidden, and what arrives", async () => {
    await logInByForm(page, deployment);
    await page.getByRole("link", { name: "Add a machine" }).click();
    await page.getByLabel("Name", { exact: true }).fill("not a name!");
    await page
      .getByText(/must consist|letters/i)
      .first()
      .waitFor();
    await page.getByLabel("Name", { exact: true }).fill("second");
    await page.getByRole("button", { name: "Create the workspace" }).click();
    const command = page.getByRole("region", { name: "Command for the machine" });
    await command.waitFor();
    expect(await command.textContent()).not.toContain("CODER_AGENT_TOKEN");
    await command.getByRole("button", { name: "Show" }).click();
    expect(await seriousFaults(page)).toEqual([]);
    // Tabs for the systems, by keyboard: the one of this browser's system is shown first.
    const shownLine = async (): Promise<string> => (await command.textContent()) ?? "";
    await page.getByRole("tab", { name: "Linux", selected: true }).focus();
    await page.keyboard.press("ArrowLeft");
    await page
      .getByRole("tab", { name: "Windows", selected: true, includeHidden: false })
      .and(page.locator(":focus"))
      .waitFor();
    await command.getByRole("button", { name: "Show" }).click();
    expect(await shownLine()).toContain("$env:CODER_AGENT_TOKEN=");
    await page.getByRole("tab", { name: "Windows" }).focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    await page.getByRole("tab", { name: "macOS", selected: true }).waitFor();
    await command.getByRole("button", { name: "Show" }).click();
    expect(await shownLine()).toContain("/init-script/darwin/");
    const token = /CODER_AGENT_TOKEN='?([0-9a-f-]{36})/.exec((await command.textContent()) ?? "")?.[1];
    expect(token).toBeDefined();
    deployment.startAgent(token!);
    await page.getByRole("link", { name: "Open a terminal" }).waitFor();
    await page.reload(); // the steps continue where they were
    await page.getByRole("link", { name: "Open a terminal" }).waitFor();
  });

  it("keys: the palette finds a workspace, g and a letter go to a page", async () => {
    await logInByForm(page, deployment);
    await page.getByRole("link", { name: "demo", exact: true }).waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Page or workspace" }).fill("own demo");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${deployment.url}/@owner/demo`);
    await page.keyboard.press("g");
    await page.keyboard.press("h");
    await page.getByRole("heading", { name: "Health", exact: true }).waitFor();
  });

  it("security S3: the page of health names a host that others on this machine share, and what to use instead", async () => {
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/health`);
    const finding = page.locator(".problem", { hasText: "ECOOK01" });
    await finding.getByText("Open the deployment at a name of its own, such as coder.localhost").waitFor();
  });

  it("T13: no serious fault of accessibility, in both themes and at 360 pixels", async () => {
    await page.goto(`${deployment.url}/login`);
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    expect(await seriousFaults(page)).toEqual([]);
    await logInByForm(page, deployment);
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      for (const path of [
        "/workspaces",
        "/@owner/demo",
        "/workspaces/new",
        "/settings/appearance",
        "/users",
        "/health",
      ]) {
        await page.goto(`${deployment.url}${path}`);
        await page.getByRole("heading", { level: 1 }).waitFor();
        await page.locator("[aria-busy=true]").waitFor({ state: "detached" });
        expect([path, colorScheme, await seriousFaults(page)]).toEqual([path, colorScheme, []]);
      }
    }
    await page.setViewportSize({ width: 360, height: 740 });
    for (const path of ["/workspaces", "/@owner/demo", "/settings/tokens", "/users"]) {
      await page.goto(`${deployment.url}${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      const width = await page.evaluate<number>("document.documentElement.scrollWidth");
      expect([path, width]).toEqual([path, 360]);
    }
  });

  it("logging out ends the session of the page", async () => {
    await logInByForm(page, deployment);
    await page.getByRole("button", { name: /owner/ }).click();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await page.goto(`${deployment.url}/@owner/demo?x=1`);
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    expect(new URL(page.url()).searchParams.get("redirect")).toBe("/@owner/demo?x=1");
    await page.getByLabel("E-mail").fill("owner@example.com");
    await page.getByLabel("Password").fill(PASSWORD);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(`${deployment.url}/@owner/demo?x=1`);
  });

  it("the command line gets its token by the page, after a click and not before", async () => {
    await using listener = await listenForLogin(new URL(deployment.url));
    let token = "";
    void listener.token.then((sent) => {
      token = sent;
    });
    await logInByForm(page, deployment);
    await page.goto(listener.page.href);
    const agree = page.getByRole("button", { name: "Log in the command line" });
    await agree.waitFor();
    expect(token).toBe("");
    await agree.click();
    const sent = await listener.token;
    await page.getByText("The command line is logged in.").waitFor();
    expect(page.url()).not.toContain(sent);
    const answer = await fetch(`${deployment.url}/api/v2/users/me`, { headers: { "Coder-Session-Token": sent } });
    expect(((await answer.json()) as { username: string }).username).toBe("owner");
    // The page requested no other foreign address than the one that gets the token.
    expect(faults.foreign.splice(0)).toEqual([listener.page.searchParams.get("callback")]);
  });

  it("the stream tells every tab of a change, goes on after the server was away, and its absence is shown", async () => {
    await logInByForm(page, deployment);
    const second = await context.newPage();
    await second.goto(`${deployment.url}/workspaces`);
    for (const tab of [page, second]) await tab.getByRole("link", { name: "demo", exact: true }).waitFor();
    await deployment.api("POST", "/api/v2/users/me/workspaces", { name: "later" });
    for (const tab of [page, second]) await tab.getByRole("link", { name: "later", exact: true }).waitFor();
    const server = deployment.server!;
    server.kill("SIGTERM");
    await once(server, "exit");
    await page.getByText("Live updates are interrupted").waitFor();
    await deployment.startServer();
    await deployment.api("POST", "/api/v2/users/me/workspaces", { name: "afterwards" });
    for (const tab of [page, second]) await tab.getByRole("link", { name: "afterwards", exact: true }).waitFor();
    await page.getByText("Live updates are interrupted").waitFor({ state: "detached" });
    await second.close();
  });
});
