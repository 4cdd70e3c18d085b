/**
 * Web terminals and apps through the workspace proxy chosen in this browser, and through the deployment while the proxy is away.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestDeployment } from "../e2e/deployment.ts";
import { freePort } from "../free-port.ts";
import { launch, logInByForm, missing, type PageFaults, screenText, seriousFaults, watchedPage } from "./chromium.ts";

describe.skipIf(missing.length > 0)(`regions of browsers (missing here: ${missing.join(", ") || "nothing"})`, () => {
  let deployment: TestDeployment;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let faults: PageFaults;
  let address: string;
  /** A program in the workspace: the agent runs on this machine. */
  const program = createServer((_request, response) => response.end("an app"));
  /** Hosts of the opened terminals, in order. */
  const hosts: string[] = [];

  beforeAll(async () => {
    [deployment, browser] = await Promise.all([TestDeployment.start(), launch()]);
    deployment.startAgent(await deployment.createWorkspace("demo"), { PS1: "$ ", SHELL: "/bin/sh" });
    expect((await deployment.run(["ssh", "demo", "--", "true"])).code).toBe(0);
    program.listen(0, "127.0.0.1");
    await once(program, "listening");
    address = `http://127.0.0.1:${(program.address() as AddressInfo).port}`;
    context = await browser.newContext();
    ({ page, faults } = await watchedPage(context, deployment.url));
    page.on("websocket", (socket) => {
      const url = new URL(socket.url());
      if (url.pathname.endsWith("/pty")) hosts.push(url.host);
    });
  });
  afterAll(async () => {
    await browser?.close();
    await deployment?.close();
    program.closeAllConnections();
    program.close();
  });

  const opened = (): Promise<void> =>
    page.locator(".terminal-place:not([hidden]) .terminal-screen:not(.away)").waitFor({ timeout: 90_000 });
  const run = async (line: string): Promise<void> => {
    await page.locator(".terminal-place:not([hidden]) .xterm-helper-textarea").focus();
    await page.keyboard.type(line);
    await page.keyboard.press("Enter");
  };

  it("a chosen proxy carries terminals; while it is away the deployment carries the same shell", async () => {
    const own = new URL(deployment.url).host;
    await logInByForm(page, deployment);
    await page.goto(`${deployment.url}/@owner/demo/terminal?test=1`);
    await opened();
    expect(hosts).toEqual([own]);
    const chooser = page.getByRole("combobox", { name: "Region of terminals and apps" });
    expect(await chooser.count()).toBe(0);

    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const made = await deployment.api("POST", "/api/v2/workspaceproxies", { name: "near", display_name: "Near" });
    const { proxy_token: token } = (await made.json()) as { proxy_token: string };
    const addresses = [
      "--primary-access-url",
      deployment.url,
      "--access-url",
      url,
      "--http-address",
      `127.0.0.1:${port}`,
    ];
    const proxy = deployment.spawn(["wsproxy", "server", ...addresses, "--stun-address", "disable"], {
      CODER_PROXY_SESSION_TOKEN: token,
    });
    const healthy = async (): Promise<boolean> => {
      const answer = await deployment.api("GET", "/api/v2/workspaceproxies/near");
      return ((await answer.json()) as { healthy: boolean }).healthy;
    };
    await expect.poll(healthy, { timeout: 60_000, interval: 200 }).toBe(true);

    await page.reload();
    await opened();
    await chooser.focus();
    await page.getByRole("option", { name: /^Near · [\d.]+ ms$/ }).waitFor({ state: "attached" });
    for (const name of [/^Default · /, /^Near · /])
      await chooser.selectOption((await page.getByRole("option", { name }).getAttribute("value")) ?? "");
    expect(await seriousFaults(page)).toEqual([]);
    await page.reload();
    await opened();
    expect(hosts.at(-1)).toBe(`127.0.0.1:${port}`);
    await run("here=kept; echo by-$((40+2))");
    await screenText(page, (text) => text.includes("by-42"), "the answer of the shell");

    // Apps open at the proxy as well, under a path, since the proxy has no wildcard host.
    const added = await deployment.run(["apps", "add", "demo", "web", "--app-url", address]);
    expect(added.code, added.stderr).toBe(0);
    const workspace = await context.newPage();
    await workspace.goto(`${deployment.url}/@owner/demo`);
    const link = workspace.getByRole("link", { name: "Open web" });
    const path = "/@owner/demo.main/apps/web/";
    await expect.poll(() => link.getAttribute("href"), { timeout: 60_000 }).toBe(`${url}${path}`);
    expect(await seriousFaults(workspace)).toEqual([]);
    const app = await context.newPage();
    await app.goto(`${url}${path}`);
    expect([app.url(), await app.textContent("body")]).toEqual([`${url}${path}`, "an app"]);
    await app.close();

    const gone = once(proxy, "exit");
    proxy.kill("SIGKILL");
    await gone;
    await expect.poll(() => hosts.at(-1), { timeout: 60_000 }).toBe(own);
    await opened();
    await expect.poll(() => link.getAttribute("href"), { timeout: 60_000 }).toBe(path);
    await run("echo still-$here");
    await screenText(page, (text) => text.includes("still-kept"), "the variable of the same shell");
    expect(faults).toMatchObject({ violations: [], errors: [], dialogs: [] });
    expect(faults.foreign.filter((address) => !address.startsWith(`${url}/latency-check`))).toEqual([]);
  });
});
